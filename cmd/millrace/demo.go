package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"millrace"
	"millrace/processor"
)

// registerDemo adds the handlers that give a newcomer something to watch.
func registerDemo(p *processor.Processor) {
	processor.Handle(p, "demo.echo", echo, processor.Kind{})
	processor.Handle(p, "demo.sleep", sleep, processor.Kind{})
	processor.Handle(p, "demo.fail", fail, processor.Kind{})
}

// echo returns its args.
func echo(_ context.Context, t millrace.Task[json.RawMessage]) (json.RawMessage, error) {
	return t.Args, nil
}

type sleepArgs struct {
	MS int64 `json:"ms"`
}

// sleep takes its time.
func sleep(ctx context.Context, t millrace.Task[sleepArgs]) (map[string]int64, error) {
	timer := time.NewTimer(time.Duration(t.Args.MS) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return map[string]int64{"slept_ms": t.Args.MS}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type failArgs struct {
	Times     int  `json:"times"`
	Permanent bool `json:"permanent"`
}

// fail fails that often and then succeeds, or fails for good.
func fail(_ context.Context, t millrace.Task[failArgs]) (map[string]int, error) {
	if t.Args.Permanent {
		return nil, millrace.Permanent(errors.New("this failure was ordered, and it is permanent"))
	}
	if t.Attempt <= t.Args.Times {
		return nil, fmt.Errorf("failure %d of %d was ordered", t.Attempt, t.Args.Times)
	}
	return map[string]int{"attempts": t.Attempt}, nil
}
