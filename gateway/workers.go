package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"millrace/streams"
)

// workerView is a worker as the API shows it: what it says itself.
type workerView struct {
	ID          string            `json:"id"`
	Name        string            `json:"name" doc:"What records call it."`
	Host        string            `json:"host"`
	PID         int               `json:"pid"`
	Version     string            `json:"version"`
	StartedAt   time.Time         `json:"started_at"`
	At          time.Time         `json:"at" doc:"When it said so."`
	Concurrency int               `json:"concurrency" doc:"How many handlers it runs at once at most."`
	Busy        int               `json:"busy" doc:"How many run."`
	Running     []runningTaskView `json:"running" doc:"The 100 of them that have run for longest."`
	Stuck       int               `json:"stuck" doc:"How many were given up and have not returned."`
	Quiet       bool              `json:"quiet" doc:"It takes no new tasks."`
	Stopping    bool              `json:"stopping" doc:"It ends with the tasks that it has."`
	Queues      []string          `json:"queues"`
	Kinds       []string          `json:"kinds"`
	MemoryBytes uint64            `json:"memory_bytes" doc:"What its process has from the system."`
	Goroutines  int               `json:"goroutines"`
}

type runningTaskView struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Queue string    `json:"queue"`
	Since time.Time `json:"since"`
}

func viewWorker(w streams.Worker) workerView {
	v := workerView{
		ID: w.ID, Name: w.Name, Host: w.Host, PID: w.PID, Version: w.Version, StartedAt: w.StartedAt, At: w.At,
		Concurrency: w.Concurrency, Busy: w.Busy, Running: make([]runningTaskView, len(w.Running)), Stuck: w.Stuck,
		Quiet: w.Quiet, Stopping: w.Stopping, Queues: w.Queues, Kinds: w.Kinds, MemoryBytes: w.MemoryBytes, Goroutines: w.Goroutines,
	}
	for i, t := range w.Running {
		v.Running[i] = runningTaskView(t)
	}
	return v
}

type listWorkersOutput struct {
	Body struct {
		Workers []workerView `json:"workers"`
	}
}

func (g *Gateway) listWorkers(ctx context.Context, _ *struct{}) (*listWorkersOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	all, err := g.store.Workers(ctx)
	if err != nil {
		return nil, err
	}
	out := &listWorkersOutput{}
	out.Body.Workers = make([]workerView, len(all))
	for i, w := range all {
		out.Body.Workers[i] = viewWorker(w)
	}
	return out, nil
}

type workerInput struct {
	ID string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

type workerOutput struct{ Body workerView }

// command tells a worker to do something, and shows how it is then.
func (g *Gateway) command(ctx context.Context, id, what string, body []byte) (*workerOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	answer, err := g.store.CommandWorker(ctx, id, what, body)
	if err != nil {
		return nil, err
	}
	var w streams.Worker
	if err := json.Unmarshal(answer, &w); err != nil {
		return nil, fmt.Errorf("answer of worker %s: %w", id, err)
	}
	return &workerOutput{viewWorker(w)}, nil
}

func (g *Gateway) quietWorker(ctx context.Context, in *workerInput) (*workerOutput, error) {
	return g.command(ctx, in.ID, "quiet", nil)
}

func (g *Gateway) resumeWorker(ctx context.Context, in *workerInput) (*workerOutput, error) {
	return g.command(ctx, in.ID, "resume", nil)
}

func (g *Gateway) stopWorker(ctx context.Context, in *workerInput) (*workerOutput, error) {
	return g.command(ctx, in.ID, "stop", nil)
}

type concurrencyInput struct {
	ID   string `path:"id" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Body struct {
		Concurrency int `json:"concurrency" minimum:"1" maximum:"100000"`
	}
}

func (g *Gateway) setConcurrency(ctx context.Context, in *concurrencyInput) (*workerOutput, error) {
	return g.command(ctx, in.ID, "concurrency", strconv.AppendInt(nil, int64(in.Body.Concurrency), 10))
}

type stacksOutput struct {
	Body struct {
		Stacks string `json:"stacks" doc:"Those of all goroutines of its process, 512 KiB at most."`
	}
}

func (g *Gateway) getStacks(ctx context.Context, in *workerInput) (*stacksOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	answer, err := g.store.CommandWorker(ctx, in.ID, "stacks", nil)
	if err != nil {
		return nil, err
	}
	out := &stacksOutput{}
	out.Body.Stacks = string(answer)
	return out, nil
}
