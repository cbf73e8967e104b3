// Command asynq-noop is the peer that Millrace is measured beside: asynq on a Redis
// of its own, behind the smallest gateway that does the same job, on Fiber as well.
// Gateway and worker share a process, as Millrace's do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/hibiken/asynq"

	"millrace/bench/control"
)

func main() {
	dir := flag.String("dir", "", "directory for Redis")
	fsync := flag.String("appendfsync", "everysec", "Redis's appendfsync: always or everysec")
	flag.Parse()
	if err := run(context.Background(), *dir, *fsync); err != nil {
		fmt.Fprintln(os.Stderr, "asynq-noop:", err)
		os.Exit(1)
	}
}

// run serves until the standard input ends.
func run(ctx context.Context, dir, fsync string) error {
	redis, err := startRedis(ctx, dir, fsync)
	if err != nil {
		return err
	}
	defer redis.stop()
	conn := asynq.RedisClientOpt{Addr: redis.addr}
	sys := newSystem(conn)
	addr, err := serve(sys.client, asynq.NewInspector(conn))
	if err != nil {
		return err
	}
	hello := control.Hello{Addr: addr, PIDs: []int{os.Getpid(), redis.pid()}, Version: "asynq " + version() + ", Redis " + redis.version}
	return control.Serve(ctx, os.Stdin, os.Stdout, hello, sys)
}

// version is asynq's, as it was built in.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/hibiken/asynq" {
				return dep.Version
			}
		}
	}
	return "of unknown version"
}
