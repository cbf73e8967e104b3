package streams

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestTrimTo(t *testing.T) {
	for _, c := range []struct {
		name                     string
		needed, old, tasks, want uint64
	}{
		{"an empty log", 1, 1, 10, 1},
		{"all done and too old", 101, 101, 1000, 101},
		{"all done and young", 101, 1, 1000, 1},
		{"more than are kept, and young", 101, 1, 10, 91},
		{"less than are kept, and some too old", 101, 50, 80, 50},
		{"more than are kept, of which some are too old", 101, 95, 10, 95},
		{"needed though too old", 40, 101, 0, 40},
		{"needed though more than are kept", 40, 1, 10, 30},
		{"nothing is kept", 40, 1, 0, 40},
		{"everything is kept", 40, 1, ^uint64(0), 1},
	} {
		if got := trimTo(c.needed, c.old, c.tasks); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestFirstNeeded(t *testing.T) {
	at := func(delivered, floor, pending uint64, acks int, policy jetstream.AckPolicy, filters ...string) *jetstream.ConsumerInfo {
		return &jetstream.ConsumerInfo{
			Delivered: jetstream.SequenceInfo{Stream: delivered}, AckFloor: jetstream.SequenceInfo{Stream: floor},
			NumPending: pending, NumAckPending: acks, Config: jetstream.ConsumerConfig{AckPolicy: policy, FilterSubjects: filters},
		}
	}
	const explicit, none, all = jetstream.AckExplicitPolicy, jetstream.AckNonePolicy, jetstream.AckAllPolicy
	for _, c := range []struct {
		name string
		of   *jetstream.ConsumerInfo
		want uint64
	}{
		{"has done nothing", at(0, 0, 100, 0, explicit), 1},
		{"is under way", at(50, 20, 50, 30, explicit), 21},
		{"has only to hear that it is done", at(100, 99, 0, 1, explicit), 100},
		{"has done all", at(100, 100, 0, 0, explicit), 101},
		{"has not heard of the last ten", at(90, 90, 0, 0, explicit), 91},
		{"acknowledges several at once", at(50, 20, 50, 30, all), 21},
		{"acknowledges nothing", at(50, 0, 50, 0, none), 51},
		{"acknowledges nothing and has all", at(100, 0, 0, 0, none), 101},
		{"reads some, and has all of them", at(30, 30, 0, 0, explicit, "tasks.default.a.>"), 101},
		{"reads some, and has one under way", at(30, 20, 0, 1, explicit, "tasks.default.a.>"), 21},
		{"reads some, and there are more", at(30, 30, 1, 0, explicit, "tasks.default.a.>"), 31},
	} {
		if got := firstNeeded(c.of, 100); got != c.want {
			t.Errorf("one that %s: %d, want %d", c.name, got, c.want)
		}
	}
}
