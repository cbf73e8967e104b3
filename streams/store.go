// Package streams keeps Millrace's tasks and records on NATS JetStream. It is
// the only package that knows JetStream: the others see tasks, records,
// deliveries and buckets.
//
// Start reading at topology.go, which is one page of everything that is kept on
// the broker; then store.go, submit.go (the way in), puller.go and delivery.go
// (the way to a worker), finish.go (the way out) and lookup.go. Every write of a task
// goes through committer.go. Orders are in ledger.go, and what happens to them is read
// by feed.go and events.go.
package streams

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// Store is a connection to the broker. It is safe for many goroutines, and one
// a process is enough.
type Store struct {
	cfg     Config
	log     *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	replies *replies
	lanes   atomic.Pointer[lanes]
	knowing sync.Mutex // held by who changes lanes
	held    *committer
	desk    *desk
	limits  *limits
	rates   rates
	dead    *committer
	results *committer
	audits  *committer
	waiting []*committer // by shard
	alarms  []*alarms    // by shard
	buckets map[string]*Bucket
	control *Control
	putOff  putOffKinds
	tally   tally
	told    sync.Mutex // guards totals
	totals  Counts     // what was counted, and taken since
	keeper  keeper
	points  *committer // of the history
	// background ends when the store is closed.
	background context.Context
	stop       func()
	running    sync.WaitGroup
}

// Open connects, waiting for a server until ctx ends, and sees to it that the
// streams are there. Close the store when done.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	nc, link, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, cfg, nc, link)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, cfg Config, nc *nats.Conn, link *link) (*Store, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(cfg.Timeout))
	if err != nil {
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	ackWait, err := ensureWhenReady(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	cfg.AckWait = ackWait // leases are by what the server goes by
	r, err := newReplies(nc, link, cfg.Timeout)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, log: cfg.Logger, nc: nc, js: js, replies: r, limits: newLimits(cfg.Limits), rates: rates{gates: map[string]*rateGate{}}, buckets: map[string]*Bucket{}, tally: tally{kinds: newKinds()}}
	background, stop := context.WithCancel(context.Background())
	s.background = background
	watching, unwatch := context.WithCancel(context.Background())
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(watching) })
	s.stop = func() {
		s.knowing.Lock() // no queue comes any more
		stop()
		s.knowing.Unlock()
		s.running.Wait() // what is under way is answered, or overdue
		unwatch()
		watch.Wait()
	}
	s.lanes.Store(&lanes{routes: cfg.Routes})
	s.know(cfg.Queues...)
	for shard := range scheduleStreams {
		s.waiting = append(s.waiting, s.startCommitter(background))
		s.alarms = append(s.alarms, &alarms{store: s, shard: shard, known: map[int64]*alarm{}})
	}
	s.held = s.startCommitter(background)
	s.held.hasty = true
	s.dead = s.startCommitter(background)
	s.points = s.startCommitter(background)
	s.results = s.startCommitter(background)
	s.audits = s.startCommitter(background)
	for _, b := range []string{claimsBucket, uniqueBucket, ordersBucket, schedulesBucket, controlBucket, workersBucket, keysBucket} {
		s.buckets[b] = &Bucket{store: s, name: b, writes: s.startCommitter(background)}
	}
	s.desk = newDesk(s)
	s.running.Go(func() { s.desk.run(background) })
	s.control = &Control{store: s, bell: make(chan struct{}, 1)}
	if err := s.control.open(ctx); err != nil {
		s.stop()
		return nil, err
	}
	if err := s.ensureAdded(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.running.Go(func() { s.control.run(background) })
	s.running.Go(func() { s.callLate(background) })
	return s, nil
}

// ensureAdded sees to it that the queues are there that the configuration does not
// have: an older copy of everything else may have been put back.
func (s *Store) ensureAdded(ctx context.Context) error {
	all := s.cfg
	all.Queues = s.Queues()
	if len(all.Queues) == len(s.cfg.Queues) {
		return nil
	}
	ackWait, err := ensureWhenReady(ctx, s.js, all)
	if err == nil {
		s.cfg.AckWait = ackWait
	}
	return err
}

// ensureWhenReady tries until the topology stands or ctx ends: a cluster that
// has just started has no leader for a second or two, and says so in many ways.
func ensureWhenReady(ctx context.Context, js jetstream.JetStream, cfg Config) (time.Duration, error) {
	for {
		ackWait, err := ensure(ctx, js, cfg)
		var mismatch *MismatchError
		if err == nil || !transient(err) || errors.As(err, &mismatch) {
			return ackWait, err
		}
		cfg.Logger.Warn("the broker is not ready yet", "error", err)
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (s *Store) startCommitter(ctx context.Context) *committer {
	c := newCommitter(s.replies, !s.cfg.Async)
	s.running.Go(func() { c.run(ctx) })
	return c
}

// Close ends the connection. Writes that wait get [millrace.ErrUnavailable].
func (s *Store) Close() {
	s.keeper.close(s)
	s.stop()
	s.nc.Close()
}

// Async reports whether the broker answers writes before they are on its disk.
func (s *Store) Async() bool { return s.cfg.Async }

// AckWait is how long a worker may be silent about a delivery: what the server goes
// by, which may be longer than what was asked for.
func (s *Store) AckWait() time.Duration { return s.cfg.AckWait }

// Ready says whether work can be taken right now: nil, or an error that wraps
// [millrace.ErrUnavailable].
func (s *Store) Ready(ctx context.Context) error {
	if !s.nc.IsConnected() {
		return fmt.Errorf("%w: not connected", millrace.ErrUnavailable)
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	if _, err := s.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("%w: %w", millrace.ErrUnavailable, err)
	}
	return nil
}

// LastSequence is the place of the newest task in the queue's log.
func (s *Store) LastSequence(ctx context.Context, queue string) (uint64, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, taskStream(queue))
	if err != nil {
		return 0, fmt.Errorf("%w: log of queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}
