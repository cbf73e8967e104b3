package scheduler_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// Whoever writes a schedule last has it armed, whoever arms last.
func TestTheLastWriterIsArmed(t *testing.T) {
	b := newBroker(t)
	store := open(t, b, streams.Config{})
	book := scheduler.NewBook(store)
	for _, c := range []struct {
		name string
		do   func(slow *scheduler.Book) error
		// meanwhile is done when that has written the entry and has not armed it.
		meanwhile func() error
		want      []time.Duration
	}{
		{
			"put and put",
			func(slow *scheduler.Book) error {
				_, err := slow.Put(t.Context(), every("s", 100*time.Hour))
				return err
			},
			func() error { _, err := book.Put(t.Context(), every("s", 10*time.Hour)); return err },
			[]time.Duration{10 * time.Hour},
		},
		{
			"put and cancel",
			func(slow *scheduler.Book) error { _, err := slow.Put(t.Context(), every("s", time.Hour)); return err },
			func() error { return book.Cancel(t.Context(), "s") },
			nil,
		},
		{
			"put, cancel and put",
			func(slow *scheduler.Book) error {
				_, err := slow.Put(t.Context(), every("s", 100*time.Hour))
				return err
			},
			func() error {
				err := book.Cancel(t.Context(), "s")
				put(t, book, every("s", 10*time.Hour))
				return err
			},
			[]time.Duration{10 * time.Hour},
		},
	} {
		var once sync.Once
		way := &broker.Mortal{Broker: b, Left: math.MaxInt}
		way.Before = func(subject string) {
			if strings.HasPrefix(subject, "schedules.") {
				once.Do(func() {
					if err := c.meanwhile(); err != nil {
						t.Errorf("%s: meanwhile: %v", c.name, err)
					}
				})
			}
		}
		slow, err := streams.Open(t.Context(), streams.Config{InProcess: way})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.do(scheduler.NewBook(slow)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		slow.Close()
		armed, err := store.Armed(t.Context(), "s")
		if err != nil || len(armed) != len(c.want) {
			t.Errorf("%s: armed is %+v, %v", c.name, armed, err)
		}
		for i, period := range c.want {
			if e, err := book.Get(t.Context(), "s"); err != nil || time.Duration(e.Every) != period || armed[i].Generation != e.Generation || !armed[i].Due.Equal(e.NextAt) {
				t.Errorf("%s: armed is %+v of %+v, %v", c.name, armed[i], e, err)
			}
		}
	}
}

func TestPutRefuses(t *testing.T) {
	b := newBroker(t)
	book := scheduler.NewBook(open(t, b, streams.Config{}))
	large := every("large", time.Hour)
	large.Args = make([]byte, 1<<20-700)
	for i := range large.Args {
		large.Args[i] = '1'
	}
	nowhere := every("nowhere", time.Hour)
	nowhere.Queue = "nowhere"
	for why, s := range map[string]millrace.Schedule{
		"in the past":       {Name: "s", Kind: "k", At: time.Now().Add(-time.Minute)},
		"centuries away":    {Name: "s", Kind: "k", At: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"never":             {Name: "s", Kind: "k", Cron: "0 0 30 2 *"},
		"a hostile name":    {Name: "*", Kind: "k", Every: millrace.Duration(time.Hour)},
		"too large to fire": large,
		"no such queue":     nowhere,
	} {
		if _, err := book.Put(t.Context(), s); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if all, err := book.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("there are %v, %v", all, err)
	}
	for _, name := range []string{"*", ">", "a.b", ""} {
		if err := book.Cancel(t.Context(), name); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("cancel %q: %v", name, err)
		}
	}
}
