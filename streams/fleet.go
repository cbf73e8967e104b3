package streams

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"millrace"
)

// Worker is what a running worker says of itself.
type Worker struct {
	// ID is its own, Name what records call it.
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	// At is when it said so.
	At time.Time `json:"at"`

	Concurrency int `json:"concurrency"`
	// Busy is how many handlers run; Running are the ones that have run for longest.
	Busy    int           `json:"busy"`
	Running []RunningTask `json:"running"`
	// Stuck is how many handlers were given up and have not returned.
	Stuck int `json:"stuck"`
	// Quiet says that it takes no new tasks, Stopping that it ends with those it has.
	Quiet    bool     `json:"quiet"`
	Stopping bool     `json:"stopping"`
	Queues   []string `json:"queues"`
	Kinds    []string `json:"kinds"`
	// MemoryBytes is what its process has from the system.
	MemoryBytes uint64 `json:"memory_bytes"`
	Goroutines  int    `json:"goroutines"`
}

// Takes reports whether it takes new tasks of a queue.
func (w Worker) Takes(queue string) bool {
	return !w.Quiet && !w.Stopping && slices.Contains(w.Queues, queue)
}

// RunningTask is a task that a worker runs, and since when.
type RunningTask struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Queue string    `json:"queue"`
	Since time.Time `json:"since"`
}

const (
	// WorkerTTL is how long a worker is listed after it has said something.
	WorkerTTL = 15 * time.Second
	// workerService is how the workers are called among the micro services, which
	// "nats micro ls" lists.
	workerService = "millrace-worker"
	workerPrefix  = "millrace.worker."
)

// ReportWorker writes down what a worker says of itself, for [WorkerTTL].
func (s *Store) ReportWorker(ctx context.Context, w Worker) error {
	data, err := encode(w)
	if err != nil {
		return fmt.Errorf("report of worker %s: %w", w.ID, err)
	}
	_, err = s.buckets[workersBucket].writes.store(ctx, newMessage(bucketSubject(workersBucket, w.ID), data, anyRevision))
	return err
}

// ForgetWorker takes a worker off the list that has ended.
func (s *Store) ForgetWorker(ctx context.Context, id string) error {
	return s.purge(ctx, bucketStream(workersBucket), bucketSubject(workersBucket, id))
}

// Workers returns what the workers said last that run, or have died less than
// [WorkerTTL] ago, sorted by name and then by id.
func (s *Store) Workers(ctx context.Context) ([]Worker, error) {
	entries, err := s.buckets[workersBucket].List(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Worker, 0, len(entries))
	for _, e := range entries {
		var w Worker
		if decode(e.Value, &w) == nil && w.ID == e.Key { // else somebody wrote it by hand
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b Worker) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	return all, nil
}

// WorkerCommand does something for whoever asks a worker for it, and returns the
// answer. An error is told, and is the asker's fault.
type WorkerCommand func(body []byte) (answer []byte, err error)

// ServeWorker lets a worker answer to commands, as a micro service of NATS, until stop is
// called.
func (s *Store) ServeWorker(w Worker, commands map[string]WorkerCommand) (stop func() error, err error) {
	version := strings.TrimPrefix(w.Version, "v")
	if !semanticVersion.MatchString(version) {
		version = "0.0.0" // a service must have one
	}
	service, err := micro.AddService(s.nc, micro.Config{
		Name: workerService, Version: version, Description: "carries out the tasks of Millrace",
		Metadata: map[string]string{"worker": w.ID, "host": w.Host, "version": w.Version},
	})
	if err != nil {
		return nil, fmt.Errorf("serve worker %s: %w", w.ID, publishError(err))
	}
	for name, do := range commands {
		handle := micro.HandlerFunc(func(r micro.Request) {
			answer, err := do(r.Data())
			if err != nil {
				err = r.Error("400", err.Error(), nil)
			} else {
				err = r.Respond(answer)
			}
			if err != nil {
				s.log.Warn("a command was carried out, but cannot be answered", "command", name, "error", err)
			}
		})
		if err := service.AddEndpoint(name, handle, micro.WithEndpointSubject(workerPrefix+w.ID+"."+name)); err != nil {
			return nil, errors.Join(fmt.Errorf("serve worker %s: %w", w.ID, publishError(err)), service.Stop())
		}
	}
	return service.Stop, nil
}

var semanticVersion = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$`)

// CommandWorker asks a worker to carry out a command, and returns its answer.
// [millrace.ErrNotFound] means that no worker of that id runs, [millrace.ErrInvalid] that
// it refuses.
func (s *Store) CommandWorker(ctx context.Context, id, command string, body []byte) ([]byte, error) {
	if err := millrace.ValidateID(id); err != nil {
		return nil, err
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, s.cfg.Timeout)
	defer stop()
	m, err := s.nc.RequestWithContext(ctx, workerPrefix+id+"."+command, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("worker %s: %w", id, millrace.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("%w: worker %s: %w", millrace.ErrUnavailable, id, err)
	case m.Header.Get(micro.ErrorCodeHeader) != "":
		return nil, fmt.Errorf("%w: %s", millrace.ErrInvalid, m.Header.Get(micro.ErrorHeader))
	}
	return m.Data, nil
}
