package streams

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"

	"millrace"
)

// The history of what was done. Each process writes one point for each minute in which it
// did something, on a subject of its own, so that nobody waits for another and who reads
// adds them up. One of all, whoever is first, writes how the queues were in that minute;
// and when an hour is over, one of all, again whoever is first, writes the sum of its
// minutes. Every point is written if there is none: so to write it again, or two at once,
// is to write it once.
const (
	historyPrefix = "history."

	minutesKept = 25 * time.Hour
	hoursKept   = 90 * 24 * time.Hour

	// lateMinutes is how late the points of an hour may come, when its sum is written.
	lateMinutes = 5 * time.Minute
	// lastWords is how long the last point of a process that stops may take.
	lastWords = 2 * time.Second
)

func minuteSubject(minute time.Time, process string) string {
	return fmt.Sprintf("%sminute.%d.%s", historyPrefix, minute.Unix()/60, process)
}

func hourSubject(hour time.Time) string {
	return fmt.Sprintf("%shour.%d", historyPrefix, hour.Unix()/3600)
}

func queuesSubject(minute time.Time) string {
	return fmt.Sprintf("%squeues.%d", historyPrefix, minute.Unix()/60)
}

// keeper writes what this process did.
type keeper struct {
	mu      sync.Mutex
	process string // empty while nobody keeps a history
	late    *point // that could not be written yet
	summed  time.Time
}

// point is what lies on a subject of the history.
type point struct {
	At time.Time `json:"at"` // the beginning of its minute or hour
	Counts
	Depths
	subject string
	ttl     time.Duration
}

// Depths is how everything was at a moment.
type Depths struct {
	Queues []Depth `json:"queues,omitempty"`
	// Workers is how many ran, Busy how many of their Places were taken.
	Workers int `json:"workers,omitzero"`
	Busy    int `json:"busy,omitzero"`
	Places  int `json:"places,omitzero"`
	// Dead is how many dead tasks were kept.
	Dead uint64 `json:"dead,omitzero"`
}

// Depth is how a queue was.
type Depth struct {
	Queue    string  `json:"queue"`
	Pending  uint64  `json:"pending,omitzero"`
	InFlight int     `json:"in_flight,omitzero"`
	Oldest   float64 `json:"oldest,omitzero"` // seconds that the first of them has waited
	// Entered is how many had come into its log by then.
	Entered uint64 `json:"entered,omitzero"`
	// Workers is how many ran that took tasks of it.
	Workers int `json:"workers,omitzero"`
}

// KeepHistory writes down what this process does, a point a minute, until ctx ends;
// [Store.Close] writes the last one. A process that dies loses the minute that it is in.
// Called again while it runs it only waits.
func (s *Store) KeepHistory(ctx context.Context) error {
	k := &s.keeper
	if !k.begin() {
		<-ctx.Done()
		return nil
	}
	// Not all at the same moment: the first does what one of them has to do.
	apart, err := rand.Int(rand.Reader, big.NewInt(int64(2*time.Second)))
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	for {
		minute := time.Now().Truncate(time.Minute)
		timer := time.NewTimer(time.Until(minute.Add(time.Minute + time.Duration(apart.Int64()))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := k.keep(ctx, s, minute); err != nil && ctx.Err() == nil {
			s.log.Warn("cannot keep the history of what is done; it is written later", "error", err)
		}
	}
}

func (k *keeper) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process != "" {
		return false
	}
	k.process = strings.ToLower(rand.Text()[:10])
	return true
}

// close writes what was done since the last point.
func (k *keeper) close(s *Store) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	if err := k.own(ctx, s, time.Now().Truncate(time.Minute)); err != nil {
		s.log.Warn("the history lacks what was done last", "error", err)
	}
}

// keep writes all that is to be written when a minute is over.
func (k *keeper) keep(ctx context.Context, s *Store, minute time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return errors.Join(k.own(ctx, s, minute), s.keepQueues(ctx, minute), k.sum(ctx, s))
}

// own writes what this process did up to the end of a minute. If that is not possible,
// the same point is written before the next one: that will have all that was done
// meanwhile.
func (k *keeper) own(ctx context.Context, s *Store, minute time.Time) error {
	if k.late != nil {
		if err := s.keepPoint(ctx, *k.late); err != nil {
			return err
		}
		k.late = nil
	}
	counts := s.counted()
	if counts.empty() {
		return nil
	}
	p := point{At: minute.UTC(), Counts: counts, subject: minuteSubject(minute, k.process), ttl: minutesKept}
	err := s.keepPoint(ctx, p)
	if err != nil {
		k.late = &p
	}
	return err
}

// keepPoint writes a point, unless it is there.
func (s *Store) keepPoint(ctx context.Context, p point) error {
	data, err := encode(p)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	msg := newMessage(p.subject, data, 0)
	expireAfter(msg, p.ttl)
	if _, err := s.points.store(ctx, msg); err != nil && !errors.Is(err, millrace.ErrConflict) {
		return fmt.Errorf("history: %w", err)
	}
	return nil
}

// keepQueues writes how the queues were, unless somebody else has.
func (s *Store) keepQueues(ctx context.Context, minute time.Time) error {
	subject := queuesSubject(minute)
	found, err := s.lastBy(ctx, historyStream, subject)
	if err != nil || len(found) > 0 {
		return err
	}
	d, err := s.Depths(ctx)
	if err != nil {
		return err
	}
	return s.keepPoint(ctx, point{At: minute.UTC(), Depths: d, subject: subject, ttl: minutesKept})
}

// Depths looks at all queues and workers.
func (s *Store) Depths(ctx context.Context) (Depths, error) {
	var d Depths
	for _, name := range s.Queues() {
		q, err := s.QueueState(ctx, name)
		if errors.Is(err, millrace.ErrNotFound) {
			continue // it was removed
		}
		if err != nil {
			return d, err
		}
		depth := Depth{Queue: name, Pending: q.Pending, InFlight: q.InFlight, Entered: q.Entered}
		if !q.Oldest.IsZero() {
			depth.Oldest = max(0, time.Since(q.Oldest).Seconds())
		}
		d.Queues = append(d.Queues, depth)
	}
	workers, err := s.Workers(ctx)
	if err != nil { // their reports are in memory, and gone with the broker's until they come again
		s.log.Warn("the history lacks how many workers there were", "error", err)
	}
	for i := range d.Queues {
		for _, w := range workers {
			if w.Takes(d.Queues[i].Queue) {
				d.Queues[i].Workers++
			}
		}
	}
	for _, w := range workers {
		d.Workers, d.Busy, d.Places = d.Workers+1, d.Busy+w.Busy, d.Places+w.Concurrency
	}
	d.Dead, err = s.deadCount(ctx)
	return d, err
}

func (s *Store) deadCount(ctx context.Context) (uint64, error) {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	stream, err := s.js.Stream(ctx, deadStream)
	if err != nil {
		return 0, fmt.Errorf("%w: count the dead: %w", millrace.ErrUnavailable, err)
	}
	return stream.CachedInfo().State.Msgs, nil
}

// sum writes the sums of the hours that are over and have none.
func (k *keeper) sum(ctx context.Context, s *Store) error {
	over := time.Now().Add(-lateMinutes).Truncate(time.Hour) // the first hour that is not
	if !over.After(k.summed) {
		return nil
	}
	const most = 24 // whose minutes are still there
	subjects := make([]string, most)
	for i := range subjects {
		subjects[i] = hourSubject(over.Add(-time.Duration(i+1) * time.Hour))
	}
	found, err := s.lastBy(ctx, historyStream, subjects...)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, st := range found {
		there[st.subject] = true
	}
	for i, subject := range subjects {
		hour := over.Add(-time.Duration(i+1) * time.Hour)
		if there[subject] {
			continue
		}
		sum := newSeries(hour, time.Hour, 1)
		if err := s.readMinutes(ctx, sum); err != nil {
			return err
		}
		only := sum.Points[0]
		if only.Counts.empty() && len(only.Queues) == 0 {
			continue
		}
		p := point{At: hour.UTC(), Counts: only.Counts, Depths: only.Depths, subject: subject, ttl: hoursKept - time.Since(hour)}
		if err := s.keepPoint(ctx, p); err != nil {
			return err
		}
	}
	k.summed = over
	return nil
}
