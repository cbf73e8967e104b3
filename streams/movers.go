package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// movers is the one consumer of a schedule stream that all schedulers share. It
// may hold any number of messages back: tasks whose queue is full must not stop
// those of another.
func movers(shard int) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       moversName,
		FilterSubject: dueFilter(shard),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       moveWait,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		MaxWaiting:    4096,
	}
}

// moveWait is how long a scheduler may take to move what it was given.
const moveWait = 30 * time.Second

func ensureMovers(ctx context.Context, js jetstream.JetStream, shard int) error {
	_, err := js.Consumer(ctx, scheduleStream(shard), moversName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = js.CreateConsumer(ctx, scheduleStream(shard), movers(shard))
		if errors.Is(err, jetstream.ErrConsumerExists) || errors.Is(err, jetstream.ErrConsumerNameAlreadyInUse) {
			err = nil // another process was faster
		}
	}
	if err != nil {
		return fmt.Errorf("consumer of %s: %w", scheduleStream(shard), err)
	}
	return nil
}
