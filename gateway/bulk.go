package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/streams"
)

// Bulk submissions. A stream of lines goes through a pipeline that keeps their order:
//
//	read    lines, gathered into parcels: what is there, 256 KiB at most
//	parse   each parcel in a goroutine of its own
//	submit  one parcel after another begins, so that a queue gets them in order
//	await   what is on disk, and what was there before
//	answer  one parcel after another
//
// Between reading and answering are maxParcels at most. So a stream takes a few MiB
// whatever its length, and a client that does not read its answers is not read from.
const (
	maxParcels     = 8
	maxParcelBytes = 256 << 10
	maxParcelLines = 500 // as many as the store writes at once
	// maxBulks is how many bulk submissions are served at once.
	maxBulks = 16
)

// bulkDesk serves bulk submissions.
type bulkDesk struct {
	*server
	lines  *lineReader[bulkBody]
	places chan struct{}
	served sync.WaitGroup
}

func newBulkDesk(s *server) *bulkDesk {
	return &bulkDesk{server: s, lines: newLineReader[bulkBody](), places: make(chan struct{}, maxBulks)}
}

type submitTasksInput struct {
	Key    string `header:"Idempotency-Key" maxLength:"255" doc:"With it, tasks that have no id get one that is made from it and the number of their line: so all of it can be sent again."`
	Atomic bool   `query:"atomic" doc:"All of them or none: 1,000 tasks of one queue at most, in 8 MiB."`
}

type submitTasksOutput struct {
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	Buffering    string `header:"X-Accel-Buffering"`
	Body         func(huma.Context)
}

func (g *Gateway) submitTasks(ctx context.Context, in *submitTasksInput) (*submitTasksOutput, error) {
	newID := func(int) string { return millrace.NewID() }
	if in.Key != "" {
		name, err := parseKey(in.Key)
		if err != nil {
			return nil, err
		}
		newID = func(line int) string { return millrace.DeriveID("bulk", name, strconv.Itoa(line)) }
	}
	b := &bulk{bulkDesk: g.bulk, trace: millrace.TraceOf(ctx), newID: newID, again: in.Key != "", limit: g.cfg.BulkLimit, serve: (*bulk).stream}
	if in.Atomic {
		b.limit, b.serve = min(b.limit, maxAtomicBytes), (*bulk).together
	}
	return &submitTasksOutput{ContentType: mediaLines, CacheControl: "no-store", Buffering: "no", Body: b.begin}, nil
}

// bulk is a bulk submission.
type bulk struct {
	*bulkDesk
	trace millrace.Trace // that it is part of
	newID func(line int) string
	again bool // whether what has no id of its own may be there already
	limit int64
	turns keyTurns
	serve func(*bulk, *bodyStream) error
}

// begin takes the connection over, or answers at once.
func (b *bulk) begin(hc huma.Context) {
	x := hc.(interface{ self() *exchange }).self()
	head, hidden := hiddenBodyOf(&x.http.Request.Header)
	var refused *problem
	switch {
	case hidden && head.length > b.limit:
		refused = tooLarge(int(b.limit))
	case !b.enter():
		refused = newProblem(http.StatusServiceUnavailable, "As many bulk submissions are under way as there may be. Come back in a while, or ask another gateway.")
		refused.Type, refused.Title, refused.retryAfter = problemType("too-many-streams"), "Too many streams", time.Second
	}
	if refused != nil {
		refused.write(x.http)
		return
	}
	x.streamBody(b.stopping, func(s *bodyStream) {
		defer b.leave()
		defer func() { // a panic here would end the process
			if value := recover(); value != nil {
				b.cfg.Logger.Error("a bulk submission panicked", "panic", value, "stack", string(debug.Stack()))
			}
		}()
		if err := b.serve(b, s); err == nil {
			_ = s.end() // if that fails the client sees it
		}
	})
}

func (b *bulkDesk) enter() bool {
	select {
	case b.places <- struct{}{}:
		b.served.Add(1)
		return b.stopping.Err() == nil || b.leave()
	default:
		return false
	}
}

// leave gives a place back. It is false, for who could not enter.
func (b *bulkDesk) leave() bool {
	<-b.places
	b.served.Done()
	return false
}

// wait waits for the submissions under way, after stopping has ended, at most so long.
func (b *bulkDesk) wait(atMost time.Duration) {
	ended := make(chan struct{})
	go func() {
		b.served.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(atMost):
	}
}

// parcel is some lines on their way.
type parcel struct {
	lines  []rawLine
	last   error // why no lines follow, but io.EOF
	tasks  []bulkTask
	parsed chan struct{}
	done   chan struct{}
	answer bytes.Buffer
}

// stream submits lines as they come. An error means that the answer is not whole.
func (b *bulk) stream(s *bodyStream) error {
	parsing, answering := make(chan *parcel, maxParcels/2), make(chan *parcel, maxParcels/2)
	gone := make(chan struct{}) // the client takes no more answers
	var working sync.WaitGroup
	working.Go(func() {
		defer close(parsing)
		in := newLineSource(s, b.limit, b.cfg.BodyLimit)
		for more := true; more; {
			p := &parcel{parsed: make(chan struct{}), done: make(chan struct{})}
			p.lines, p.last, more = in.next()
			working.Go(func() { b.parse(p) })
			select {
			case parsing <- p:
			case <-gone:
				return
			}
		}
	})
	working.Go(func() {
		defer close(answering)
		for p := range parsing {
			<-p.parsed
			await := b.submit(p)
			working.Go(func() {
				await()
				close(p.done)
			})
			answering <- p // whoever answers takes them to the last
		}
	})
	err := b.answer(s, answering, gone)
	working.Wait()
	return err
}

func (b *bulk) parse(p *parcel) {
	defer close(p.parsed)
	p.tasks = make([]bulkTask, len(p.lines))
	for i, l := range p.lines {
		if l.err != nil {
			p.tasks[i] = bulkTask{number: l.number, err: l.err}
			continue
		}
		p.tasks[i] = b.readTask(l.number, l.text, b.newID)
		p.tasks[i].task.Trace = b.trace
	}
	p.lines = nil
}

// answer writes the answers in the order of the lines.
func (b *bulk) answer(s *bodyStream, answering <-chan *parcel, gone chan<- struct{}) (err error) {
	for p := range answering {
		<-p.done
		if err != nil {
			continue
		}
		for i := range p.tasks {
			p.tasks[i].write(&p.answer)
		}
		if errors.Is(p.last, errBrokenOff) {
			err = p.last
		} else if p.last != nil {
			writeProblem(&p.answer, lineAnswer{Line: p.last.(*endOfLines).line}, p.last)
		}
		if p.answer.Len() > 0 {
			if _, failed := s.Write(p.answer.Bytes()); failed != nil {
				err = failed
			}
		}
		if err != nil {
			s.giveUp()
			close(gone)
		}
	}
	return err
}

// submit begins to submit the tasks of a parcel, and returns what waits until each has
// its answer.
func (b *bulk) submit(p *parcel) func() {
	ctx, cancel := context.WithTimeout(b.base, workTime)
	var now []*bulkTask
	var batch []millrace.RawTask
	var later sync.WaitGroup
	for i := range p.tasks {
		switch t := &p.tasks[i]; {
		case t.err != nil:
		case t.unique.Key != "":
			before, done := b.turns.next(t.unique.Key)
			later.Go(func() {
				defer done()
				if before == nil {
					b.submitUnique(ctx, t)
					return
				}
				<-before
				ctx, cancel := context.WithTimeout(b.base, workTime) // its time begins now
				defer cancel()
				b.submitUnique(ctx, t)
			})
		case t.due.IsZero():
			now, batch = append(now, t), append(batch, t.task)
		default:
			later.Go(func() { b.submitLater(ctx, t) })
		}
	}
	wait := b.store.BeginSubmit(ctx, batch)
	return func() {
		defer cancel()
		var taken []*bulkTask
		for i, err := range wait() {
			if now[i].err = err; errors.Is(err, millrace.ErrConflict) {
				taken = append(taken, now[i])
			}
		}
		b.compare(ctx, taken)
		later.Wait()
	}
}

// compare looks whether those whose id is taken are what took it.
func (b *bulk) compare(ctx context.Context, taken []*bulkTask) {
	if len(taken) == 0 {
		return
	}
	tasks := make([]millrace.RawTask, len(taken))
	for i, t := range taken {
		tasks[i] = t.task
	}
	for i, kept := range b.store.Kept(ctx, tasks) {
		taken[i].settle(kept)
	}
}

// settle says what it means that something is kept under the task's id.
func (t *bulkTask) settle(kept streams.Kept) {
	switch {
	case kept.Err != nil && !errors.Is(kept.Err, millrace.ErrNotFound):
		t.err = kept.Err
	case kept.Err == nil && kept.Same:
		t.err, t.replayed, t.due = nil, true, kept.Due
	default:
		t.err = fmt.Errorf("%w: the id %s is taken by another task", millrace.ErrConflict, t.task.ID)
	}
}

// submitLater submits a task for its time. One that may be there already, for another
// time since it was asked for before, is not put off.
func (b *bulk) submitLater(ctx context.Context, t *bulkTask) {
	if b.settled(ctx, t) {
		return
	}
	if t.err = b.store.SubmitAt(ctx, t.task, t.due); errors.Is(t.err, millrace.ErrConflict) {
		b.compare(ctx, []*bulkTask{t})
	}
}

// settled reports whether the task was there before, or something else under its id.
func (b *bulk) settled(ctx context.Context, t *bulkTask) bool {
	if !t.own && !b.again {
		return false
	}
	kept := b.store.Kept(ctx, []millrace.RawTask{t.task})[0]
	if errors.Is(kept.Err, millrace.ErrNotFound) {
		return false
	}
	t.settle(kept)
	return true
}

// keyTurns lets the lines with the same unique key come one after the other: the first
// one gets the key, and the last one is what replaces it.
type keyTurns struct {
	mu   sync.Mutex
	last map[string]chan struct{}
}

// next returns what is closed when the line before is done, nil if there is none under
// way, and what this one is to call when it is.
func (k *keyTurns) next(key string) (before <-chan struct{}, done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == nil {
		k.last = map[string]chan struct{}{}
	}
	before = k.last[key]
	mine := make(chan struct{})
	k.last[key] = mine
	return before, func() {
		close(mine)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.last[key] == mine {
			delete(k.last, key)
		}
	}
}

// submitUnique submits a task that is to be the only one with its key. One that was there before is not in conflict
// with who has its key since, and does not replace it.
func (b *bulk) submitUnique(ctx context.Context, t *bulkTask) {
	if t.state = millrace.Pending; b.settled(ctx, t) {
		if t.due.After(time.Now()) {
			t.state = millrace.Scheduled
		}
		return
	}
	h, err := b.store.SubmitUnique(ctx, t.task, t.due, t.unique)
	if t.err = err; err == nil {
		t.task.ID, t.state, t.due, t.existing, t.replaced, t.replayed = h.ID, h.State, h.Due, h.Existing, h.Replaced, h.Replayed
	}
}
