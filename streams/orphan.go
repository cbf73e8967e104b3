package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// Orphans looks for tasks that are not finished, and that nothing would ever bring on.
//
// A task that goes on is in its queue's log, where its consumer is not done with it,
// or it waits, or it is due: each step writes the next place before it leaves the
// last, and its record before it leaves the log. But somebody may purge a stream, or
// put back an older copy of one. Then its record is all that is left, and says for a
// week that the task runs, or is to be tried again.
//
// To take a living task for lost is worse than to find a lost one late. So its record
// must be old, and the task overdue; it must have looked lost at two sweeps, the second
// time to the leaders of the streams; and in between neither its record nor its place
// in the log may have changed, as they do when a task goes from one to the other while
// somebody looks. What is done about it then is done by compare-and-set.
//
// A task that has no record, since it is in its first run or was submitted for later,
// leaves no trace when it is purged, and cannot be found.
type Orphans struct {
	store *Store
	age   time.Duration
	most  int // records that a sweep looks at
	// next is the sequence in the bucket of records with which the next sweep begins.
	next     uint64
	suspects map[string]suspect // by id
}

// suspect is how a task looked that seemed to be an orphan.
type suspect struct {
	revision uint64 // of its record
	place    uint64 // in its queue's log, zero for none
}

// orphan is a task that may be one.
type orphan struct {
	record   *millrace.Record
	revision uint64
	place    stored // in its queue's log, which is done with it; none if seq is zero
}

const (
	// orphanAge is for how long a task has to be overdue, and its record unchanged, or
	// for some ack waits if those are longer.
	orphanAge = 5 * time.Minute
	// maxScanned is how many records a sweep looks at: a tenth of a second's work for
	// each 10,000. The next one goes on behind them. It does not fall behind however
	// many tasks are done, since their records expire.
	maxScanned = 100_000
	// maxSuspects bounds how many tasks are waited for to be looked at again.
	maxSuspects = 10_000
	// lookedAt is how many tasks are looked up together.
	lookedAt = 64
)

// Orphans returns one that has not looked yet.
func (s *Store) Orphans() *Orphans {
	return &Orphans{store: s, age: max(orphanAge, 4*s.AckWait()), most: maxScanned, suspects: map[string]suspect{}}
}

// Sweep brings back the tasks that seemed lost at the last sweep, and still do: it
// puts them into their queue's log again, which keeps what is done for a while. Those
// that it holds no more have failed: their args are gone. It returns how many of each
// there were. Then it looks for more. Call it every few minutes, never at once.
func (o *Orphans) Sweep(ctx context.Context) (back, lost uint64, err error) {
	// What is acknowledged meanwhile does not seem lost to this sweep.
	floors, err := o.store.floors(ctx)
	if err != nil {
		return 0, 0, err
	}
	back, lost, err = o.settle(ctx, floors)
	if err == nil {
		err = o.look(ctx, floors)
	}
	return back, lost, err
}

// settle looks at the suspects again, and does what there is to do about them.
func (o *Orphans) settle(ctx context.Context, f floors) (back, lost uint64, failed error) {
	for id, seen := range o.suspects {
		found, err := o.store.stillLost(ctx, f, id, seen)
		switch {
		case err != nil || found == nil:
		case found.place.seq > 0:
			if err = o.store.bringBack(ctx, found); err == nil {
				back++
			}
		default:
			if err = o.store.giveUp(ctx, found); err == nil {
				lost++
			}
		}
		if err == nil || errors.Is(err, millrace.ErrConflict) { // somebody else was faster
			delete(o.suspects, id)
			continue
		}
		failed = fmt.Errorf("task %s, which is lost: %w", id, err)
		if errors.Is(err, millrace.ErrUnavailable) {
			break
		}
	}
	return back, lost, failed
}

// look looks at some of the records, and notes whose tasks seem lost.
func (o *Orphans) look(ctx context.Context, f floors) error {
	before := time.Now().Add(-o.age)
	scanned, next := 0, uint64(1) // behind the last one it begins anew
	err := o.store.scanPages(ctx, bucketStream(resultsBucket), recordSubject(">"), max(1, o.next), func(page []stored) (bool, error) {
		var old []orphan
		for i, st := range page {
			if !st.time.Before(before) {
				page = page[:i]
				break
			}
			if r := unfinished(st, before); r != nil {
				old = append(old, orphan{record: r, revision: st.seq})
			}
		}
		for some := range slices.Chunk(old, lookedAt) {
			found, err := o.store.lost(ctx, o.store.lastBy, f, some)
			if err != nil {
				return false, err
			}
			for _, one := range found {
				o.suspects[one.record.ID] = suspect{one.revision, one.place.seq}
			}
		}
		scanned += len(page)
		if scanned < o.most && len(o.suspects) < maxSuspects {
			return len(page) > 0, nil
		}
		if len(page) > 0 {
			next = page[len(page)-1].seq + 1
		}
		return false, nil
	})
	if err == nil {
		o.next = next
	}
	return err
}

// unfinished reads a record if it is of a task that is not finished and was due before
// that time.
func unfinished(st stored, before time.Time) *millrace.Record {
	// Most records are final. What stands before the state has no quotes in it.
	if _, state, ok := bytes.Cut(st.data, []byte(`"state":"`)); ok {
		if state, _, _ := bytes.Cut(state, []byte(`"`)); millrace.State(state).Final() {
			return nil
		}
	}
	r, err := parseRecord(st)
	// Filters are made of it, and somebody may have written it by hand.
	if err != nil || r.State.Final() || millrace.ValidateID(r.ID) != nil || millrace.ValidateKind(r.Kind) != nil {
		return nil
	}
	if !r.NextAt.Before(before) {
		return nil
	}
	return r
}

// floors are up to where all is done with, in the logs and among what was due.
type floors struct {
	done  map[string]uint64 // by queue
	moved [scheduleStreams]uint64
}

func (s *Store) floors(ctx context.Context) (f floors, err error) {
	f.done = make(map[string]uint64, len(s.Queues()))
	for _, queue := range s.Queues() {
		if f.done[queue], err = s.doneUpTo(ctx, queue); err != nil {
			return f, err
		}
	}
	for shard := range f.moved {
		if f.moved[shard], err = s.movedUpTo(ctx, shard); err != nil {
			return f, err
		}
	}
	return f, nil
}

// doneUpTo is the sequence up to which all of a queue's log is acknowledged.
func (s *Store) doneUpTo(ctx context.Context, queue string) (uint64, error) {
	info, err := s.workersOf(ctx, queue)
	if err != nil {
		return 0, err
	}
	return info.AckFloor.Stream, nil
}

// deliveredUpTo is the last sequence of a queue's log that a worker was given.
func (s *Store) deliveredUpTo(ctx context.Context, queue string) (uint64, error) {
	info, err := s.workersOf(ctx, queue)
	if err != nil {
		return 0, err
	}
	return info.Delivered.Stream, nil
}

// workersOf is how the consumer of a queue's workers stands.
func (s *Store) workersOf(ctx context.Context, queue string) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	consumer, err := s.js.Consumer(ctx, taskStream(queue), consumerName)
	if err != nil {
		return nil, fmt.Errorf("%w: consumer of queue %s: %w", millrace.ErrUnavailable, queue, err)
	}
	return consumer.CachedInfo(), nil
}

// reader returns the last messages that match some filters.
type reader func(ctx context.Context, stream string, filters ...string) ([]stored, error)

// lost returns those of some tasks of which nothing is left that would bring them on,
// with their places in the log. What waits is looked up first, as it goes from there
// into the log. Of a queue that is not known here nothing is said.
func (s *Store) lost(ctx context.Context, read reader, f floors, some []orphan) ([]orphan, error) {
	var waiting [scheduleStreams][]string
	places := map[string][]string{}
	records := map[string]*millrace.Record{}
	for _, o := range some {
		r := o.record
		records[r.ID] = r
		shard := shardOf(r.ID)
		waiting[shard] = append(waiting[shard], waitingFilter(r.ID), timerSubject(r.ID), dueSubject(r.ID))
		if _, known := f.done[r.Queue]; known {
			places[r.Queue] = append(places[r.Queue], taskSubject(r.Queue, r.Kind, r.ID))
		}
	}
	waits := map[string]bool{}
	for shard, filters := range waiting {
		found, err := readSome(ctx, read, scheduleStream(shard), filters)
		if err != nil {
			return nil, err
		}
		for _, st := range found {
			if moved := strings.HasPrefix(st.subject, "due.") && st.seq <= f.moved[shard]; !moved {
				waits[st.subject[strings.LastIndexByte(st.subject, '.')+1:]] = true
			}
		}
	}
	// Who stands in a line is brought on by that. One that is past it still is in it, so
	// it is looked for first.
	lines := make([]string, len(some))
	for i, o := range some {
		lines[i] = heldSubject("*", o.record.ID)
	}
	found, err := readSome(ctx, read, heldStream, lines)
	if err != nil {
		return nil, err
	}
	for _, st := range found {
		if p, ok := parsePlace(st); ok && (records[p.Task.ID].HeldBy != "" || p.untouched(records[p.Task.ID])) {
			waits[p.Task.ID] = true
		}
	}
	logged := map[string]stored{}
	for queue, subjects := range places {
		found, err := readSome(ctx, read, taskStream(queue), subjects)
		if err != nil {
			return nil, err
		}
		for _, st := range found {
			logged[st.subject] = st
		}
	}
	var out []orphan
	for _, o := range some {
		r := o.record
		o.place = logged[taskSubject(r.Queue, r.Kind, r.ID)]
		if done, known := f.done[r.Queue]; known && !waits[r.ID] && o.place.seq <= done {
			out = append(out, o)
		}
	}
	return out, nil
}

func readSome(ctx context.Context, read reader, stream string, filters []string) ([]stored, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	return read(ctx, stream, filters...)
}

// stillLost returns the task if it is an orphan: if it looks as it did before, to the
// leaders as well.
func (s *Store) stillLost(ctx context.Context, f floors, id string, seen suspect) (*orphan, error) {
	found, err := s.lastOnLeader(ctx, bucketStream(resultsBucket), recordSubject(id))
	if err != nil || len(found) == 0 || found[0].seq != seen.revision {
		return nil, err
	}
	r := unfinished(found[0], time.Now())
	if r == nil {
		return nil, nil
	}
	some, err := s.lost(ctx, s.lastOnLeader, f, []orphan{{record: r, revision: seen.revision}})
	if err != nil || len(some) == 0 || some[0].place.seq != seen.place {
		return nil, err
	}
	return &some[0], nil
}

// bringBack puts the task into its queue's log again, if that has not happened since.
func (s *Store) bringBack(ctx context.Context, o *orphan) error {
	_, err := s.logOf(o.record.Queue).store(ctx, newMessage(o.place.subject, o.place.data, o.place.seq))
	return err
}

// errLost is what a task has failed with of which there was nothing left.
const errLost = "lost: nothing was left to bring the task on, and its args are not in its queue's log any more; " +
	"a stream may have been purged, or an older copy of it put back"

// giveUp writes that the task has failed, and keeps it among the dead, unless it has
// gone on.
func (s *Store) giveUp(ctx context.Context, o *orphan) error {
	r := *o.record
	r.State, r.Error, r.NextAt = millrace.Failed, errLost, time.Time{}
	task := millrace.RawTask{ID: r.ID, Kind: r.Kind, Queue: r.Queue, Options: millrace.Options{Tags: r.Tags}, SubmittedAt: r.SubmittedAt, Redrives: r.Redrives}
	end := Finished{&Delivery{Task: task, revision: o.revision}, r, time.Duration(millrace.DefaultResultTTL)}
	end.complete()
	msg, err := s.deadMessage(end)
	if err != nil {
		return err
	}
	// If somebody has buried it already, that tells more.
	msg.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
	buried, err := s.dead.store(ctx, msg)
	if err != nil && !errors.Is(err, millrace.ErrConflict) {
		return fmt.Errorf("keep dead task %s: %w", r.ID, err)
	}
	err = s.write(ctx, draft{end.Delivery, &end.Final, end.TTL + forgetAfter})
	if errors.Is(err, millrace.ErrConflict) && buried > 0 {
		err = errors.Join(err, s.deleteMessage(ctx, deadStream, buried))
	}
	return err
}
