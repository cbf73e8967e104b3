package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisServer is a Redis of our own, on a loopback port, with its defaults but for
// the log of writes.
type redisServer struct {
	cmd     *exec.Cmd
	addr    string
	version string
}

func startRedis(ctx context.Context, dir, fsync string) (*redisServer, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &redisServer{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	r.cmd = exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--dir", dir, "--appendonly", "yes", "--appendfsync", fsync, "--loglevel", "warning")
	r.cmd.Stdout = os.Stderr // our own is for the benchmark
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	if err := r.wait(ctx); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *redisServer) pid() int { return r.cmd.Process.Pid }

func (r *redisServer) wait(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: r.addr})
	defer client.Close()
	var err error
	for range 1000 {
		var info map[string]map[string]string
		if info, err = client.InfoMap(ctx, "server").Result(); err == nil {
			r.version = info["Server"]["redis_version"]
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("redis-server does not answer: %w", err)
}

func (r *redisServer) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGKILL) // there is nothing to keep
	_ = r.cmd.Wait()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
