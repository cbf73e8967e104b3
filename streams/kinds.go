package streams

import (
	"cmp"
	"sync/atomic"
	"time"

	"millrace"
	"millrace/meter"
)

// Kinds counts the tasks of each queue and kind since the process began. Anybody may
// submit a kind that nobody knows: of those beyond the first 200 pairs, all of a queue are
// one, [OtherKinds].
type Kinds = meter.By[KindLabel, KindCounts]

// KindLabel is what tasks are counted by.
type KindLabel struct{ Queue, Kind string }

// OtherKinds stands for all kinds that are not counted on their own.
const OtherKinds = "other"

// mostKinds is how many pairs of a queue and a kind are counted on their own.
const mostKinds = 200

// KindCounts is what was counted of a kind in a queue.
type KindCounts struct {
	Submitted, Succeeded, Failed, Cancelled, Retried atomic.Int64
	// Run is from when a handler was called to its outcome, one for each attempt, in
	// seconds.
	Run *meter.Histogram
}

func newKinds() *Kinds {
	return meter.NewBy(mostKinds, func(l KindLabel) KindLabel { return KindLabel{l.Queue, OtherKinds} },
		func() *KindCounts { return &KindCounts{Run: meter.Times()} })
}

// Kinds is what this process did with tasks of each kind.
func (s *Store) Kinds() *Kinds { return s.tally.kinds }

// submitted counts a task that was taken in.
func (s *Store) submitted(t millrace.RawTask) {
	s.tally.submitted.Add(1)
	s.tally.kinds.Of(KindLabel{cmp.Or(t.Queue, s.Route(t.Kind)), t.Kind}).Submitted.Add(1)
}

// submittedAll counts those that were taken in without an error, and returns the errors.
func (s *Store) submittedAll(tasks []millrace.RawTask, errs []error) []error {
	for i, err := range errs {
		if err == nil {
			s.submitted(tasks[i])
		}
	}
	return errs
}

// cancelled counts a task that was called off.
func (s *Store) cancelled(r *millrace.Record) {
	s.tally.cancelled.Add(1)
	s.tally.kinds.Of(KindLabel{r.Queue, r.Kind}).Cancelled.Add(1)
}

// outcome counts how a run ended.
func (t *tally) outcome(r *millrace.Record) {
	switch of := t.kinds.Of(KindLabel{r.Queue, r.Kind}); r.State {
	case millrace.Succeeded:
		of.Succeeded.Add(1)
	case millrace.Failed:
		of.Failed.Add(1)
	case millrace.Cancelled:
		of.Cancelled.Add(1)
	case millrace.Retrying:
		of.Retried.Add(1)
	}
}

// ran counts how long a handler took.
func (t *tally) ran(r *millrace.Record, took time.Duration) {
	t.run.count(took)
	t.kinds.Of(KindLabel{r.Queue, r.Kind}).Run.Time(took)
}
