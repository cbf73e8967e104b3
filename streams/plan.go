package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Planned is a stream as it should be on the broker, with the consumers that are ours.
type Planned struct {
	Stream    jetstream.StreamConfig
	Consumers []jetstream.ConsumerConfig

	exactAge bool
}

// Dial connects as [Open] does, for who administers the broker: it creates nothing, and
// no stream need be there.
func Dial(ctx context.Context, cfg Config) (*nats.Conn, error) {
	nc, _, err := connect(ctx, cfg.withDefaults())
	return nc, err
}

// Plan is what Open would see to, and the logs of the queues besides whose streams are
// among those found on the broker: queues can be added while everything runs.
func (c Config) Plan(found []string) ([]Planned, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("streams: %w", err)
	}
	c.Queues = slices.Clone(c.Queues)
	for _, name := range found {
		if queue, is := strings.CutPrefix(name, taskStream("")); is && !slices.Contains(c.Queues, queue) {
			c.Queues = append(c.Queues, queue)
		}
	}
	var plan []Planned
	for _, s := range c.topology() {
		p := Planned{Stream: s, exactAge: s.Name == deadStream && c.DeadRetention != 0}
		if strings.HasPrefix(s.Name, taskStream("")) {
			p.Consumers = append(p.Consumers, c.workers())
		}
		for shard := range scheduleStreams {
			if s.Name == scheduleStream(shard) {
				p.Consumers = append(p.Consumers, movers(shard))
			}
		}
		plan = append(plan, p)
	}
	return plan, nil
}

// Differences tells how a stream is not as planned, a line each, as far as Open would
// change it; what an operator has enlarged is none. The error is a [MismatchError] if
// it could not.
func (p Planned) Differences(have jetstream.StreamConfig) ([]string, error) {
	want, err := merge(have, p.Stream)
	if err != nil {
		return nil, err
	}
	if p.exactAge {
		want.MaxAge = p.Stream.MaxAge
	}
	var differ []string
	for _, s := range []struct {
		setting    string
		have, want any
	}{
		{"subjects", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " ")},
		{"max bytes", have.MaxBytes, want.MaxBytes},
		{"max age", have.MaxAge, want.MaxAge},
		{"replicas", have.Replicas, want.Replicas},
		{"allow direct", have.AllowDirect, want.AllowDirect},
		{"allow atomic publish", have.AllowAtomicPublish, want.AllowAtomicPublish},
		{"allow message ttl", have.AllowMsgTTL, want.AllowMsgTTL},
		{"allow message schedules", have.AllowMsgSchedules, want.AllowMsgSchedules},
		{"allow rollup", have.AllowRollup, want.AllowRollup},
	} {
		if s.have != s.want {
			differ = append(differ, fmt.Sprintf("%s %v, planned %v", s.setting, s.have, s.want))
		}
	}
	return differ, nil
}

// ConsumerDifferences does the same for a consumer of ours.
func ConsumerDifferences(have, want jetstream.ConsumerConfig) []string {
	var differ []string
	note := func(different bool, setting string, have, want any) {
		if different {
			differ = append(differ, fmt.Sprintf("%s %v, planned %v", setting, have, want))
		}
	}
	note(have.AckPolicy != want.AckPolicy, "ack policy", have.AckPolicy, want.AckPolicy)
	note(have.AckWait < want.AckWait, "ack wait", have.AckWait, want.AckWait)
	note(have.MaxDeliver != want.MaxDeliver, "max deliver", have.MaxDeliver, want.MaxDeliver)
	note(have.FilterSubject != want.FilterSubject || len(have.FilterSubjects) > 0, "filter", have.FilterSubject, want.FilterSubject)
	note(len(have.BackOff) > 0, "backoff", have.BackOff, "none")
	smaller := have.MaxAckPending >= 0 && (have.MaxAckPending < want.MaxAckPending || want.MaxAckPending < 0)
	note(smaller, "max ack pending", have.MaxAckPending, want.MaxAckPending)
	return differ
}

// RestoringStream is there while the streams are being put back from a backup. As long
// as it is, Open refuses: half of them may be missing, and would be made anew, empty.
const RestoringStream = "RESTORING"

// ErrRestoring says that a restore is under way, or was not finished.
var ErrRestoring = errors.New("a backup is being restored here, or that was not finished: wait for it, or do it again (millrace restore --replace)")

func notRestoring(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.Stream(ctx, RestoringStream)
	switch {
	case err == nil:
		return ErrRestoring
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil
	}
	return fmt.Errorf("stream %s: %w", RestoringStream, err)
}

// ClockTolerance is how far the clocks of those who take part may differ.
const ClockTolerance time.Duration = putOffWithin
