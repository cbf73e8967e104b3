// Package admin is what an operator does to the broker as a whole: [Broker.Examine] finds
// out whether it is as Millrace needs it, [Broker.Backup] copies everything into a
// directory while all goes on, and [Broker.Restore] puts that back.
//
// It knows from the plan of package streams what should be there, and touches nothing
// else. Start reading at examine.go or backup.go.
package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

// Broker is a connection to the broker that creates nothing by itself. Close it when
// done.
type Broker struct {
	cfg streams.Config
	nc  *nats.Conn
	js  jetstream.JetStream
}

// answerWithin is how long one answer of the broker may take.
const answerWithin = 5 * time.Second

// copyWithin is how long it may take until a copy of a stream begins: the server looks
// through all of it first for messages that are damaged.
const copyWithin = 2 * time.Minute

// Open connects to the broker that cfg names, which also says what should be there. It
// does not wait longer than 5 s for a server.
func Open(ctx context.Context, cfg streams.Config) (*Broker, error) {
	if _, err := cfg.Plan(nil); err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	nc, err := streams.Dial(dialing, cfg)
	if err != nil {
		return nil, err
	}
	// What is not permitted is told of where it is asked for.
	nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(answerWithin))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("jetstream: %w", err)
	}
	return &Broker{cfg, nc, js}, nil
}

// Close ends the connection.
func (b *Broker) Close() { b.nc.Close() }

// streamNames are the streams on the broker, ours or not, sorted.
func (b *Broker) streamNames(ctx context.Context) ([]string, error) {
	var names []string
	list := b.js.StreamNames(ctx)
	for name := range list.Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	return names, nil
}

// present are the streams of ours that are on the broker, and the plan of all.
func (b *Broker) present(ctx context.Context) (names []string, plan []streams.Planned, err error) {
	found, err := b.streamNames(ctx)
	if err != nil {
		return nil, nil, err
	}
	if plan, err = b.cfg.Plan(found); err != nil {
		return nil, nil, err
	}
	for _, p := range plan {
		if slices.Contains(found, p.Stream.Name) {
			names = append(names, p.Stream.Name)
		}
	}
	return names, plan, nil
}

// missing reports whether err says that something is not there.
func missing(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound)
}
