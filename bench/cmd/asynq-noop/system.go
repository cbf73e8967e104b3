package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"millrace/bench/workload"
)

// system is a control.System.
type system struct {
	conn   asynq.RedisClientOpt
	client *asynq.Client
	redis  *redis.Client
}

func newSystem(conn asynq.RedisClientOpt) *system {
	return &system{conn: conn, client: asynq.NewClient(conn), redis: redis.NewClient(&redis.Options{Addr: conn.Addr})}
}

const fillers = 64

func (s *system) Fill(ctx context.Context, n int) error {
	args := workload.ArgsJSON()
	errs := make([]error, fillers)
	var running sync.WaitGroup
	for f := range fillers {
		running.Go(func() {
			for i := f; i < n && errs[f] == nil; i += fillers {
				errs[f] = submit(ctx, s.client, workload.ID(i), args)
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// Work starts a worker with what was best for asynq on two cores: 10 handlers (64
// finish 8 % fewer tasks), and to look for tasks 100 times as often as it does by
// itself, since else an idle one takes a second to notice the first.
func (s *system) Work(context.Context) error {
	server := asynq.NewServer(s.conn, asynq.Config{Concurrency: 10, TaskCheckInterval: 10 * time.Millisecond, LogLevel: asynq.WarnLevel})
	mux := asynq.NewServeMux()
	mux.HandleFunc(workload.Kind, func(context.Context, *asynq.Task) error { return nil })
	return server.Start(mux)
}

func (s *system) Finished(ctx context.Context) (int, error) {
	n, err := s.redis.ZCard(ctx, "asynq:{default}:completed").Result()
	return int(n), err
}
