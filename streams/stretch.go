package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

const (
	// stretchStep is how many messages of a stretch are asked for at once.
	stretchStep = 1000
	// maxStretch is how many bytes of messages are read of one.
	maxStretch = 16 << 20
	// stretchForgets is when the server drops what somebody reads a stretch with who died.
	stretchForgets = 10 * time.Second
)

// stretch calls visit with what lies from one sequence up to another, in the order in
// which it was written. whole is false if that was too much to be read at once.
//
// A direct get of many has the server count what is left, among all subjects if some
// messages were removed, and takes 20 µs a message. To make a consumer costs about as
// much as that count, but then a message takes 4 µs.
func (s *Store) stretch(ctx context.Context, stream string, from, before uint64, visit func(stored)) (whole bool, err error) {
	if before-from <= maxBatch {
		some, whole, err := s.window(ctx, stream, from, before)
		for _, st := range some {
			visit(st)
		}
		return whole, err
	}
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	reader, err := s.js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Description:       "reads a stretch for " + s.cfg.Name,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       from,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: stretchForgets,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return false, fmt.Errorf("%w: read %s: %w", millrace.ErrUnavailable, stream, err)
	}
	// Nobody waits for the answer: if this is lost, the server drops it in a while.
	defer func() { _ = s.nc.Publish("$JS.API.CONSUMER.DELETE."+stream+"."+reader.CachedInfo().Name, nil) }()
	for size := 0; ; {
		msgs, err := reader.FetchNoWait(stretchStep)
		if err != nil {
			return false, fmt.Errorf("%w: read %s: %w", millrace.ErrUnavailable, stream, err)
		}
		came, passed := 0, false
		for m := range msgs.Messages() {
			at, err := m.Metadata()
			if err != nil {
				return false, fmt.Errorf("%w: read %s: %w", millrace.ErrUnavailable, stream, err)
			}
			came, size = came+1, size+len(m.Data())
			if passed = passed || at.Sequence.Stream >= before; !passed && size <= maxStretch {
				visit(stored{subject: m.Subject(), seq: at.Sequence.Stream, time: at.Timestamp, data: m.Data()})
			}
		}
		switch {
		case msgs.Error() != nil:
			return false, fmt.Errorf("%w: read %s: %w", millrace.ErrUnavailable, stream, msgs.Error())
		case size > maxStretch:
			return false, nil
		case came == 0, passed:
			return true, ctx.Err()
		}
	}
}
