package streams

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// The page of everything that is kept on the broker. Only what is set matters:
// the rest is the server's default.

// taskLog is the log of one queue. It refuses work when it is full and keeps
// what is done until it is trimmed, so that an ack costs no write (docs/adr/0001).
func (c Config) taskLog(queue string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               taskStream(queue),
		Description:        "tasks of the queue " + queue,
		Subjects:           []string{"tasks." + queue + ".>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxBytes:           c.MaxQueueBytes,
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	}
}

// schedules keeps what waits for its time. Of what lies under schedules the server
// itself publishes each message again, under due, when its time has come, and there
// the movers find it. As with the logs, an ack removes nothing, since that would
// cost a sync for each; see trimDue.
func (c Config) schedules(shard int) jetstream.StreamConfig {
	n := strconv.Itoa(shard)
	return jetstream.StreamConfig{
		Name:               scheduleStream(shard),
		Description:        "tasks and schedules that wait for their time",
		Subjects:           []string{"waiting." + n + ".>", "schedules." + n + ".>", "due." + n + ".>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		AllowDirect:        true,
		AllowRollup:        true,
		AllowMsgSchedules:  true,
		AllowAtomicPublish: true,
	}
}

// held keeps the tasks that come under a limit, in the order in which they came to it:
// see held.go; and when the next of a rate may begin: see rates.go.
func (c Config) held() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               heldStream,
		Description:        "tasks that come under a limit",
		Subjects:           []string{"held.>", "rates.>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxBytes:           c.MaxQueueBytes,
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	}
}

// dead keeps the tasks that failed for good.
func (c Config) dead() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               deadStream,
		Description:        "tasks that used up their attempts or failed for good",
		Subjects:           []string{"dead.>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		MaxAge:             max(0, cmp.Or(c.DeadRetention, 90*24*time.Hour)), // zero: for good
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		AllowDirect:        true,
		AllowAtomicPublish: true,
	}
}

// bucket is the stream behind a key-value bucket, as any NATS client reads it,
// with atomic batches besides.
func (c Config) bucket(name, description string, maxAge time.Duration) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               bucketStream(name),
		Description:        description,
		Subjects:           []string{"$KV." + name + ".>"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		Discard:            jetstream.DiscardNew,
		MaxAge:             maxAge,
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		DenyDelete:         true,
		AllowRollup:        true,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	}
}

// ledger is the bucket of the orders and their stock, with the feed of what happened
// to them in the same stream: so they change together.
func (c Config) ledger() jetstream.StreamConfig {
	l := c.bucket(ordersBucket, "orders, stock, and what happened to them", 0)
	l.Subjects = append(l.Subjects, feedPrefix+">")
	return l
}

// workerReports is a bucket of what is out of date in a moment, in memory.
func (c Config) workerReports() jetstream.StreamConfig {
	b := c.bucket(workersBucket, "what each worker says of itself", WorkerTTL)
	b.Storage = jetstream.MemoryStorage
	return b
}

// turns keeps who wants to change the ledger next, in memory: see TakeTurn.
func (c Config) turns() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              turnStream,
		Description:       "who wants to change the orders next",
		Subjects:          []string{turnPrefix + ">"},
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.MemoryStorage,
		MaxAge:            time.Minute,
		MaxMsgsPerSubject: 1,
		Replicas:          1,
		AllowDirect:       true,
		AllowMsgTTL:       true,
	}
}

// history keeps what was done in each minute and hour, each point for as long as its
// own expiry says. Nothing depends on it: when it is full, the oldest goes.
func (c Config) history() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               historyStream,
		Description:        "what was done in each minute and hour",
		Subjects:           []string{historyPrefix + ">"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            jetstream.FileStorage,
		MaxAge:             hoursKept,
		MaxBytes:           64 << 20,
		MaxMsgsPerSubject:  1,
		Replicas:           c.Replicas,
		AllowDirect:        true,
		AllowMsgTTL:        true,
		AllowAtomicPublish: true,
	}
}

func (c Config) topology() []jetstream.StreamConfig {
	var all []jetstream.StreamConfig
	for _, q := range c.Queues {
		all = append(all, c.taskLog(q))
	}
	for shard := range scheduleStreams {
		all = append(all, c.schedules(shard))
	}
	return append(all,
		c.held(),
		c.dead(),
		c.bucket(resultsBucket, "records of tasks, by id", time.Duration(millrace.MaxResultTTL)+forgetAfter),
		c.bucket(claimsBucket, "idempotency keys", 24*time.Hour),
		c.bucket(uniqueBucket, "unique keys, and the tasks that have them", 0),
		c.ledger(),
		c.turns(),
		c.bucket(schedulesBucket, "schedules, by name", 0),
		c.bucket(controlBucket, "settings that can be changed while everything runs", 0),
		c.workerReports(),
		c.history(),
		c.bucket(keysBucket, "keys of the API, by name, and sessions", 0),
		c.audit(),
	)
}

// MismatchError says that a stream exists with a setting that cannot be changed
// in place.
type MismatchError struct {
	Stream, Setting string
	Have, Want      any
}

// Error says what to do.
func (e *MismatchError) Error() string {
	return fmt.Sprintf("stream %s exists with %s %v, and Millrace needs %v, which cannot be changed in place: "+
		"move the stream's messages away and delete it, or use another account or store", e.Stream, e.Setting, e.Have, e.Want)
}

// ensure creates what is missing and brings what exists up to date. It never
// shrinks a limit and never deletes, so an operator may enlarge anything; only for how
// long the dead are kept is what was asked for. It
// returns the shortest ack wait of the queues.
func ensure(ctx context.Context, js jetstream.JetStream, c Config) (time.Duration, error) {
	if err := notRestoring(ctx, js); err != nil {
		return 0, err
	}
	for _, want := range c.topology() {
		exact := want.Name == deadStream && c.DeadRetention != 0
		if err := ensureStream(ctx, js, want, exact); err != nil {
			return 0, err
		}
	}
	var shortest time.Duration
	for _, q := range c.Queues {
		ackWait, err := ensureWorkers(ctx, js, c, q)
		if err != nil {
			return 0, err
		}
		if shortest == 0 || ackWait < shortest {
			shortest = ackWait
		}
	}
	for shard := range scheduleStreams {
		if err := ensureMovers(ctx, js, shard); err != nil {
			return 0, err
		}
	}
	return shortest, nil
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, exactAge bool) error {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, want)
		// Another process may have created it a moment ago.
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	var refused *jetstream.APIError
	if errors.As(err, &refused) && refused.ErrorCode == codeInsufficientStorage {
		return fmt.Errorf("stream %s: the server has no room to set aside %d MiB for it: free some disk, or give each queue less (--queue-mb): %w", want.Name, want.MaxBytes>>20, err)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	if stream == nil {
		return nil
	}
	have := stream.CachedInfo().Config
	merged, err := merge(have, want)
	if exactAge {
		merged.MaxAge = want.MaxAge
	}
	if err != nil || reflect.DeepEqual(merged, have) {
		return err
	}
	if _, err := js.UpdateStream(ctx, merged); err != nil {
		return fmt.Errorf("update stream %s: %w", want.Name, err)
	}
	return nil
}

// merge returns have with what we need changed in it.
func merge(have, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	for _, fixed := range []struct {
		setting    string
		have, want any
	}{
		{"retention", have.Retention, want.Retention},
		{"storage", have.Storage, want.Storage},
		{"max messages per subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject},
		{"discard", have.Discard, want.Discard},
		{"sealed", have.Sealed, false},
		{"mirror", have.Mirror != nil, false},
		{"sources", len(have.Sources), 0},
	} {
		if fixed.have != fixed.want {
			return have, &MismatchError{want.Name, fixed.setting, fixed.have, fixed.want}
		}
	}
	out := have
	out.Description = want.Description
	out.Subjects = union(slices.DeleteFunc(slices.Clone(have.Subjects), func(s string) bool { return strings.HasPrefix(s, "closed.") }), want.Subjects)
	// Zero and below mean "without limit" for both, which is the largest.
	out.MaxBytes = larger(have.MaxBytes, want.MaxBytes)
	out.MaxAge = larger(have.MaxAge, want.MaxAge)
	out.Replicas = max(have.Replicas, want.Replicas)
	out.AllowDirect = true
	out.AllowAtomicPublish = have.AllowAtomicPublish || want.AllowAtomicPublish
	out.AllowMsgTTL = have.AllowMsgTTL || want.AllowMsgTTL
	out.AllowMsgSchedules = have.AllowMsgSchedules || want.AllowMsgSchedules
	out.AllowRollup = have.AllowRollup || want.AllowRollup
	return out, nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// larger is the wider of two limits, where zero and below mean none.
func larger[T int64 | time.Duration](a, b T) T {
	if a <= 0 || b <= 0 {
		return min(a, b)
	}
	return max(a, b)
}
