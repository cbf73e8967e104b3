package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/processor"
	"millrace/streams"
	"millrace/test/broker"
)

// A task that succeeds at once costs two writes, of which the second is its record.
func TestAHappyTask(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		p := newProcessor(t, store, processor.Config{})
		seen := make(chan millrace.RawTask, 1)
		handle(p, "test.see", func(_ context.Context, t millrace.RawTask) (any, error) {
			seen <- t
			time.Sleep(2 * time.Second)
			return map[string]string{"to": "<you & me>"}, nil
		})
		start(t, p)
		synctest.Wait() // what is there before it starts, it treats with care
		task := newTask("t1", "test.see")
		task.Options = millrace.Options{MaxAttempts: 9, Tags: []string{"x"}}
		submit(t, store, task)

		task.Attempt = 1
		if diff := cmp.Diff(task, <-seen); diff != "" {
			t.Errorf("the handler saw (-want +got):\n%s", diff)
		}
		if r := lookup(t, store, "t1"); r.State != millrace.Running {
			t.Errorf("meanwhile it is %s", r.State)
		}
		want := record(task, millrace.Succeeded, attempt{took: 2 * time.Second})
		want.Result = json.RawMessage(`{"to":"<you & me>"}`)
		got := finished(t, store, "t1")
		wantRecord(t, want, compact(t, got))
		if n := streamState(t, b, "KV_results").LastSeq; n != 1 {
			t.Errorf("its record was written %d times, want once", n)
		}
		eventually(t, "the task is acknowledged", func() bool { return acknowledged(t, b, "default") == 1 })
		if all := dead(t, b); len(all) > 0 {
			t.Errorf("dead: %v", all)
		}
	})
}

// compact makes JSON that means the same look the same.
func compact(t *testing.T, r millrace.Record) millrace.Record {
	t.Helper()
	var v any
	if err := json.Unmarshal(r.Result, &v); err != nil {
		t.Fatalf("result %q: %v", r.Result, err)
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	r.Result = json.RawMessage(strings.TrimSpace(b.String()))
	return r
}

// acknowledged is up to where all tasks of the queue are.
func acknowledged(t *testing.T, b *broker.Broker, queue string) uint64 {
	t.Helper()
	consumer, err := inspect(t, b).Consumer(t.Context(), "TASKS_"+queue, "workers")
	if err != nil {
		t.Fatal(err)
	}
	return consumer.CachedInfo().AckFloor.Stream
}

type order struct {
	Reference string    `json:"reference"`
	Lines     []int     `json:"lines"`
	At        time.Time `json:"at"`
}

func TestTypedArgsAndResults(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	p := newProcessor(t, store, processor.Config{})
	processor.Handle(p, "order.sum", func(_ context.Context, t millrace.Task[order]) (int, error) {
		sum := 0
		for _, n := range t.Args.Lines {
			sum += n
		}
		return sum, nil
	}, processor.Kind{})
	processor.Handle(p, "order.double", func(_ context.Context, t millrace.Task[*order]) (*order, error) {
		if t.Args == nil {
			return nil, nil
		}
		t.Args.Lines = append(t.Args.Lines, t.Args.Lines...)
		return t.Args, nil
	}, processor.Kind{})
	start(t, p)
	for id, c := range map[string]struct{ kind, args, want string }{
		"sum":     {"order.sum", `{"reference":"A","lines":[1,2,3]}`, `6`},
		"no-args": {"order.sum", ``, `0`},
		"null":    {"order.double", `null`, `null`},
		"pointer": {"order.double", `{"reference":"<&>","lines":[1],"at":"2026-01-02T03:04:05Z"}`, `{"at":"2026-01-02T03:04:05Z","lines":[1,1],"reference":"<&>"}`},
		"raw":     {echo, `[1, {"a":null}]`, `[1,{"a":null}]`},
	} {
		task := newTask(id, c.kind)
		task.Args = json.RawMessage(c.args)
		submit(t, store, task)
		if r := compact(t, finished(t, store, id)); string(r.Result) != c.want || r.State != millrace.Succeeded {
			t.Errorf("%s: %s with %s %s, want %s", id, r.State, r.Result, r.Error, c.want)
		}
	}
}

// What cannot go better the next time fails at once, and lies among the dead.
func TestFailsAtOnce(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	p := newProcessor(t, store, processor.Config{MaxResult: 100})
	processor.Handle(p, "test.typed", func(context.Context, millrace.Task[order]) (int, error) {
		t.Error("a handler was called with args that do not decode")
		return 0, nil
	}, processor.Kind{})
	give := func(kind string, v any, err error) {
		handle(p, kind, func(context.Context, millrace.RawTask) (any, error) { return v, err })
	}
	give("test.large", strings.Repeat("x", 99), nil) // and two quotes
	give("test.fits", strings.Repeat("x", 98), nil)
	give("test.nan", math.NaN(), nil)
	give("test.broken", json.RawMessage(`{`), nil)
	give("test.permanent", nil, millrace.Permanent(errors.New("no such account")))
	start(t, p)
	for kind, want := range map[string]string{
		"test.typed":     "the args do not decode: json: cannot unmarshal string into Go struct field order.lines of type []int",
		"test.large":     "the result has 101 bytes, and a record takes 100: keep large results elsewhere and return where",
		"test.nan":       "the result does not encode: json: unsupported value: NaN",
		"test.broken":    "the result does not encode: json: error calling MarshalJSON for type json.RawMessage: unexpected end of JSON input",
		"test.permanent": "no such account",
	} {
		task := newTask("id-"+strings.ReplaceAll(kind, ".", "-"), kind)
		task.Args = json.RawMessage(`{"lines":"three"}`)
		submit(t, store, task)
		r := finished(t, store, task.ID)
		wantRecord(t, record(task, millrace.Failed, attempt{err: want}), r)
		if diff := cmp.Diff(streams.Dead{Task: task, Record: r}, dead(t, b)[task.ID]); diff != "" {
			t.Errorf("the dead %s (-want +got):\n%s", kind, diff)
		}
	}
	submit(t, store, newTask("fits", "test.fits"))
	if r := finished(t, store, "fits"); r.State != millrace.Succeeded {
		t.Errorf("a result that just fits: %s", r.Error)
	}
}

func TestWrongRegistrations(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	nothing := func(context.Context, millrace.RawTask) (any, error) { return nil, nil }
	for why, register := range map[string]func(p *processor.Processor){
		"a hostile kind":  func(p *processor.Processor) { handle(p, "a.>", nothing) },
		"no kind":         func(p *processor.Processor) { handle(p, "", nothing) },
		"a kind twice":    func(p *processor.Processor) { handle(p, echo, nothing) },
		"a negative cap":  func(p *processor.Processor) { processor.Handle(p, "k", nothing, processor.Kind{MaxAttempts: -1}) },
		"a negative time": func(p *processor.Processor) { processor.Handle(p, "k", nothing, processor.Kind{Timeout: -1}) },
		"a hard limit before the soft one": func(p *processor.Processor) {
			processor.Handle(p, "k", nothing, processor.Kind{Timeout: time.Minute, HardTimeout: time.Second})
		},
		"no handler": func(p *processor.Processor) {
			processor.Handle[any, any](p, "k", nil, processor.Kind{})
		},
		"a long life": func(p *processor.Processor) {
			processor.Handle(p, "k", nothing, processor.Kind{ResultTTL: 8 * 24 * time.Hour})
		},
		"no backoff": func(p *processor.Processor) {
			processor.Handle(p, "k", nothing, processor.Kind{Backoff: &millrace.Backoff{Policy: "linear"}})
		},
	} {
		p := newProcessor(t, store, processor.Config{})
		register(p)
		if err := p.Run(t.Context()); err == nil {
			t.Errorf("%s is taken", why)
		}
	}
	for why, cfg := range map[string]processor.Config{
		"no handlers":      {Concurrency: -1},
		"no deliveries":    {MaxLost: -1},
		"no results":       {MaxResult: -1},
		"huge results":     {MaxResult: 1 << 20},
		"a negative grace": {Grace: -1},
		"an early check":   {CheckOut: -1},
		"no time to stop":  {CancelGrace: -1},
		"another queue":    {Queues: []processor.Queue{{Name: "nowhere"}}},
		"a queue twice":    {Queues: []processor.Queue{{Name: "bulk"}, {Name: "bulk"}}},
		"a lighter queue":  {Queues: []processor.Queue{{Name: "bulk", Weight: -1}}},
	} {
		if err := newProcessor(t, store, cfg).Run(t.Context()); err == nil {
			t.Errorf("%s: is taken", why)
		}
	}
	if err := processor.New(store, processor.Config{}).Run(t.Context()); !errors.Is(err, millrace.ErrInvalid) {
		t.Errorf("without any handler: %v", err)
	}
}
