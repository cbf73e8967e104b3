package streams

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// MaxUnderWay is how many tasks of a queue may be given to workers and not finished,
// unless an operator has set more.
const MaxUnderWay = 20_000

// workers is the one consumer of a queue's log that all of its workers share.
// No MaxDeliver: the server would strand a task without a word. No BackOff: it
// would add to the delay of a nak.
func (c Config) workers() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       consumerName,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1,
		MaxAckPending: MaxUnderWay,
		MaxWaiting:    4096,
	}
}

// ensureWorkers sees to it that the queue's consumer is there, and returns its ack
// wait. That is never shortened: workers that hold leases by the longer one would
// lose them without knowing.
func ensureWorkers(ctx context.Context, js jetstream.JetStream, c Config, queue string) (time.Duration, error) {
	want := c.workers()
	consumer, err := js.Consumer(ctx, taskStream(queue), consumerName)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return createWorkers(ctx, js, c, queue)
	}
	if err != nil {
		return 0, fmt.Errorf("consumer of queue %s: %w", queue, err)
	}
	have := consumer.CachedInfo().Config
	if have.AckPolicy != want.AckPolicy {
		return 0, &MismatchError{taskStream(queue), "the ack policy of its consumer " + consumerName, have.AckPolicy, want.AckPolicy}
	}
	larger := max(have.MaxAckPending, want.MaxAckPending)
	if have.MaxAckPending < 0 { // without limit
		larger = have.MaxAckPending
	}
	if have.AckWait >= want.AckWait && have.MaxDeliver == want.MaxDeliver && have.MaxAckPending == larger && len(have.BackOff) == 0 {
		return have.AckWait, nil
	}
	have.AckWait, have.MaxDeliver, have.MaxAckPending, have.BackOff = max(have.AckWait, want.AckWait), want.MaxDeliver, larger, nil
	if _, err := js.UpdateConsumer(ctx, taskStream(queue), have); err != nil {
		return 0, fmt.Errorf("update consumer of queue %s: %w", queue, err)
	}
	return have.AckWait, nil
}

// createWorkers creates the consumer. If there was one that somebody deleted, the
// new one goes on where the last note of the floor says, so that what was done
// long ago, and whose records are gone, is not done again.
func createWorkers(ctx context.Context, js jetstream.JetStream, c Config, queue string) (time.Duration, error) {
	want := c.workers()
	floor, err := readFloor(ctx, js, queue)
	if err != nil {
		return 0, err
	}
	if floor > 0 {
		want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, floor+1
		c.Logger.Warn("the consumer of a queue was gone; the new one goes on where the old one was last seen", "queue", queue, "after", floor)
	}
	_, err = js.CreateConsumer(ctx, taskStream(queue), want)
	if errors.Is(err, jetstream.ErrConsumerExists) || errors.Is(err, jetstream.ErrConsumerNameAlreadyInUse) {
		return ensureWorkers(ctx, js, c, queue) // another process was faster
	}
	if err != nil {
		return 0, fmt.Errorf("consumer of queue %s: %w", queue, err)
	}
	return want.AckWait, nil
}

// floor is how far the workers of a queue are through its log for certain: every
// task up to it is finished. Its note is in the bucket of the records, under a key
// that no task's id can be.
type floor struct {
	Sequence uint64 `json:"sequence"`
}

// floorEvery is how often the floor is noted. It must be far below forgetAfter:
// what is finished after the last note still has its record.
const floorEvery = 30 * time.Second

func floorSubject(queue string) string {
	return bucketSubject(resultsBucket, "floor."+queue)
}

func readFloor(ctx context.Context, js jetstream.JetStream, queue string) (uint64, error) {
	stream, err := js.Stream(ctx, bucketStream(resultsBucket))
	if err != nil {
		return 0, fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	msg, err := stream.GetLastMsgForSubject(ctx, floorSubject(queue))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	var f floor
	if err := decode(msg.Data, &f); err != nil {
		return 0, fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	log, err := js.Stream(ctx, taskStream(queue))
	if err != nil {
		return 0, fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	// The note may be of a log that was deleted, or replaced by an older copy.
	if info := log.CachedInfo(); msg.Time.Before(info.Created) || f.Sequence > info.State.LastSeq {
		return 0, nil
	}
	return f.Sequence, nil
}

// noted is the last note of a floor, and when it was written.
type noted struct {
	floor
	at time.Time
}

// renoteAfter is how old a note of the floor gets though nothing has changed: it must
// not expire with the records.
const renoteAfter = 24 * time.Hour

// noteFloor writes down where the queue's consumer is, unless last says so already.
func (s *Store) noteFloor(ctx context.Context, queue string, last *noted) error {
	consumer, err := s.js.Consumer(ctx, taskStream(queue), consumerName)
	if err != nil {
		return fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	f := floor{consumer.CachedInfo().AckFloor.Stream}
	if f.Sequence == 0 || f == last.floor && time.Since(last.at) < renoteAfter {
		return nil
	}
	data, err := encode(f)
	if err != nil {
		return fmt.Errorf("floor of queue %s: %w", queue, err)
	}
	if _, err := s.results.store(ctx, newMessage(floorSubject(queue), data, anyRevision)); err != nil {
		return err
	}
	*last = noted{f, time.Now()}
	return nil
}
