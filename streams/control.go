package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Control keeps the [Settings] of all processes. Each has a copy in memory, which is
// read without a lock or a request, and which stays as it is while the broker is away.
//
// Whoever changes the settings sends word, so that the others read them again at once.
// A word can get lost: so they are also read every settingsEvery, and when a connection
// is back.
type Control struct {
	store   *Store
	current atomic.Pointer[Settings]
	bell    chan struct{}
}

const (
	// settingsKey is the one entry of the bucket.
	settingsKey = "settings"
	// settingsWord is where word is sent that the settings have changed.
	settingsWord = "millrace.settings"
	// settingsEvery is how often they are read though there was no word.
	settingsEvery = 10 * time.Second
	// settingsAgain is how soon they are read again when that was not possible.
	settingsAgain = 500 * time.Millisecond
)

// Control returns the settings of all processes.
func (s *Store) Control() *Control { return s.control }

// Get returns the settings as this process knows them.
func (c *Control) Get() *Settings { return c.current.Load() }

// Watch calls changed with the settings now, and each time that they have changed,
// until ctx ends. Of changes that come while it is called, it hears of the last.
func (c *Control) Watch(ctx context.Context, changed func(*Settings)) {
	for {
		now := c.Get()
		changed(now)
		select {
		case <-now.Superseded():
		case <-ctx.Done():
			return
		}
	}
}

// Update lets change change the settings as they are on the broker, writes them by
// compare-and-set, and returns them. If somebody else is faster, change is called
// again, with theirs. An error of change's is returned as it is, and nothing is
// written; nor is it if nothing has changed. [millrace.ErrUnavailable] means that the
// broker did not answer: to do it again is safe.
func (c *Control) Update(ctx context.Context, change func(*Settings) error) (*Settings, error) {
	for {
		known := c.Get()
		next, before, err := c.read(ctx)
		if err != nil {
			return nil, err
		}
		if err := change(next); err != nil {
			return nil, err
		}
		data, err := next.encoded()
		if err != nil {
			return nil, fmt.Errorf("settings: %w: %w", millrace.ErrInvalid, err)
		}
		if bytes.Equal(data, before) {
			c.adopt(next, known)
			return next, nil
		}
		next.revision, err = c.store.buckets[controlBucket].Put(ctx, settingsKey, data, next.revision, 0)
		if errors.Is(err, millrace.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.adopt(next, known)
		if err := c.store.nc.Publish(settingsWord, nil); err != nil {
			c.store.log.Warn("the others are not told that the settings have changed; they will notice", "error", err)
		}
		return next, nil
	}
}

// read asks the leader, so that nobody goes back to what was before. It also returns
// what the settings would be if they were written as they are.
func (c *Control) read(ctx context.Context) (*Settings, []byte, error) {
	found, err := c.store.lastOnLeader(ctx, bucketStream(controlBucket), bucketSubject(controlBucket, settingsKey))
	if err != nil {
		return nil, nil, err
	}
	next := &Settings{superseded: make(chan struct{})}
	if len(found) > 0 {
		if len(found[0].data) > 0 { // else somebody deleted it
			if err := decode(found[0].data, next); err != nil {
				return nil, nil, fmt.Errorf("the entry %s of the bucket %s: %w", settingsKey, controlBucket, err)
			}
		}
		next.revision = found[0].seq
	}
	data, err := next.encoded()
	return next, data, err
}

// adopt makes next the settings of this process, unless they are already, or newer ones
// came while next was under way. Known are those from before that: a revision that is
// lower than theirs is of a bucket that was put back.
func (c *Control) adopt(next, known *Settings) {
	for {
		old := c.current.Load()
		if old != nil && (old.revision == next.revision || old.revision > next.revision && old != known) {
			return
		}
		// Who reads them is to find the queues that they speak of.
		c.store.know(next.AddedQueues()...)
		c.store.forget(next.AddedQueues())
		if c.current.CompareAndSwap(old, next) {
			if old != nil {
				close(old.superseded)
			}
			return
		}
	}
}

// open reads the settings for the first time, until ctx ends, and listens for word.
func (c *Control) open(ctx context.Context) error {
	// With the connection the subscription ends.
	if _, err := c.store.nc.Subscribe(settingsWord, func(*nats.Msg) { c.ring() }); err != nil {
		return fmt.Errorf("listen for settings: %w", publishError(err))
	}
	for {
		next, _, err := c.read(ctx)
		if err == nil {
			c.adopt(next, nil)
			return nil
		}
		if !errors.Is(err, millrace.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(settingsAgain):
		}
	}
}

func (c *Control) ring() {
	select {
	case c.bell <- struct{}{}:
	default:
	}
}

// run keeps the copy up to date until ctx ends.
func (c *Control) run(ctx context.Context) {
	timer := time.NewTimer(settingsEvery)
	defer timer.Stop()
	told := false
	for {
		link := c.store.replies.link.current()
		lost := link.Done()
		if link.Err() != nil {
			lost = nil // it is tried again all the same
		}
		select {
		case <-ctx.Done():
			return
		case <-c.bell:
		case <-lost:
		case <-timer.C:
		}
		known := c.Get()
		next, _, err := c.read(ctx)
		wait := settingsEvery
		switch {
		case err == nil:
			told = false
			c.adopt(next, known)
		case ctx.Err() == nil:
			wait = settingsAgain
			if !told && !errors.Is(err, millrace.ErrUnavailable) {
				c.store.log.Warn("the settings cannot be read; what was known goes on", "error", err)
				told = true
			}
		}
		timer.Reset(wait)
	}
}
