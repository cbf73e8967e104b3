package scheduler_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// wantRuns fails the test unless the schedule remembers exactly these due times, each
// with why it was left out, if it was.
func wantRuns(t *testing.T, book *scheduler.Book, name string, want ...scheduler.Run) {
	t.Helper()
	e, err := book.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	got := append([]scheduler.Run(nil), e.Runs...)
	for i := range got {
		if got[i].At.Before(got[i].Due) {
			t.Errorf("%s: due at %s, dealt with at %s", name, got[i].Due, got[i].At)
		}
		got[i].At = time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs of %s (-want +got):\n%s", name, diff)
	}
}

func runs(skipped string, due ...time.Time) (all []scheduler.Run) {
	for _, d := range due {
		all = append(all, scheduler.Run{Due: d.UTC(), Skipped: skipped})
	}
	return all
}

// While a schedule is paused nothing is submitted, whoever restarts; then what was missed
// is made up for once, or not at all.
func TestPause(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		stop := run(t, store, scheduler.Config{Tidy: 7 * time.Second})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		once, skip, brief := every("once", 10*time.Second), every("skip", 10*time.Second), every("brief", 40*time.Second)
		skip.CatchUp, brief.CatchUp = millrace.CatchUpSkip, millrace.CatchUpSkip
		for _, s := range []millrace.Schedule{once, skip, brief} {
			put(t, book, s)
		}
		time.Sleep(10 * time.Second) // :13
		for _, s := range []millrace.Schedule{once, skip, brief} {
			for range 2 {
				if e, err := book.Pause(t.Context(), s.Name); err != nil || e.PausedAt.IsZero() {
					t.Fatalf("%+v, %v", e, err)
				}
			}
		}
		byHand := scheduler.Run{Task: millrace.NewID()}
		if _, err := book.Run(t.Context(), "once", byHand.Task); err != nil {
			t.Errorf("run while it is paused: %v", err)
		}
		time.Sleep(10 * time.Second) // :23
		if _, err := book.Resume(t.Context(), "brief"); err != nil {
			t.Error(err)
		}
		stop()
		b.Stop()
		time.Sleep(5 * time.Second)
		b.Start()
		run(t, store, scheduler.Config{Tidy: 7 * time.Second})
		time.Sleep(30 * time.Second) // :58
		if n := len(submissions(t, js, "default")); n != 4 {
			t.Errorf("%d tasks came by now", n)
		}
		for _, s := range []millrace.Schedule{once, skip} {
			if e, err := book.Resume(t.Context(), s.Name); err != nil || !e.PausedAt.IsZero() {
				t.Fatalf("%+v, %v", e, err)
			}
		}
		time.Sleep(14 * time.Second) // :72
		ten, sixty, seventy := minute.Add(10*time.Second), minute.Add(60*time.Second), minute.Add(70*time.Second)
		wantRuns(t, book, "once", append(append(runs("", ten), byHand), runs("", minute.Add(20*time.Second), sixty, seventy)...)...)
		wantRuns(t, book, "skip", append(append(runs("", ten), runs(scheduler.SkippedPaused, minute.Add(20*time.Second))...), runs("", sixty, seventy)...)...)
		wantRuns(t, book, "brief", runs("", minute.Add(40*time.Second))...)
		wantFired(t, js, skip, late, ten, sixty, seventy)
		wantFired(t, js, brief, late, minute.Add(40*time.Second))
		for _, turn := range []func(*scheduler.Book) error{
			func(b *scheduler.Book) error { _, err := b.Pause(t.Context(), "none"); return err },
			func(b *scheduler.Book) error { _, err := b.Resume(t.Context(), "none"); return err },
		} {
			if err := turn(book); !errors.Is(err, millrace.ErrNotFound) {
				t.Errorf("what is not there: %v", err)
			}
		}
	})
}

// What was missed since nobody ran is left out, if that is asked for. What is only a bit
// late is not.
func TestCatchUpSkip(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		stop := run(t, store, scheduler.Config{})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		long, brief := every("long", 4*time.Minute), every("brief", 5*time.Minute)
		long.CatchUp, brief.CatchUp = millrace.CatchUpSkip, millrace.CatchUpSkip
		put(t, book, long)
		put(t, book, brief)
		stop()
		time.Sleep(5*time.Minute + 20*time.Second)
		run(t, store, scheduler.Config{})
		time.Sleep(4 * time.Minute) // 9:23
		wantRuns(t, book, "long", append(runs(scheduler.SkippedMissed, minute.Add(4*time.Minute)), runs("", minute.Add(8*time.Minute))...)...)
		wantRuns(t, book, "brief", runs("", minute.Add(5*time.Minute))...)
		wantFired(t, js, long, late, minute.Add(8*time.Minute))
		wantFired(t, js, brief, 40*time.Second, minute.Add(5*time.Minute))
	})
}

// Overlapping due times are remembered too, and of all of them the last 20.
func TestRuns(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store := open(t, b, streams.Config{})
		run(t, store, scheduler.Config{})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		s := every("s", 10*time.Second)
		s.Overlap = millrace.OverlapSkip
		put(t, book, s)
		time.Sleep(22 * time.Second) // :25, and nobody works
		wantRuns(t, book, "s", append(runs("", minute.Add(10*time.Second)), runs(scheduler.SkippedOverlap, minute.Add(20*time.Second))...)...)
		s.Overlap = ""
		put(t, book, s) // what it remembers stays
		time.Sleep(220 * time.Second)
		wantRuns(t, book, "s", runs("", times(minute.Add(50*time.Second), 10*time.Second, scheduler.MaxRuns)...)...)
	})
}

// Nothing comes before the start or after the end, all comes at its moment, and then the
// schedule is finished, until it is changed.
func TestBoundsAndJitterWhenFired(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		run(t, open(t, b, streams.Config{}), scheduler.Config{Tidy: 5 * time.Second})
		run(t, open(t, b, streams.Config{}), scheduler.Config{Tidy: 5 * time.Second})
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		s := every("s", 10*time.Second)
		s.Start, s.End = minute.Add(20*time.Second), minute.Add(40*time.Second)
		put(t, book, s)
		spread := every("spread", 20*time.Second)
		spread.Jitter = millrace.Duration(time.Hour) // and never as far as the next due time
		put(t, book, spread)
		time.Sleep(2*time.Minute + 15*time.Second) // 2:18
		due := times(minute.Add(20*time.Second), 10*time.Second, 3)
		wantFired(t, js, s, late, due...)
		wantRuns(t, book, "s", runs("", due...)...)
		if e, err := book.Get(t.Context(), "s"); err != nil || !e.Finished() {
			t.Errorf("behind its end: %+v, %v", e, err)
		}
		if _, err := book.Run(t.Context(), "s", "now"); err != nil {
			t.Errorf("run what is finished: %v", err)
		}
		if _, err := book.Put(t.Context(), s); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("put what is never due again: %v", err)
		}
		e, err := book.Change(t.Context(), "s", "", func(s millrace.Schedule) (millrace.Schedule, error) {
			s.End = time.Time{}
			return s, nil
		})
		if err != nil || !e.NextAt.Equal(minute.Add(140*time.Second)) || len(e.Runs) != 4 {
			t.Errorf("without an end: %+v, %v", e, err)
		}

		r, moments := parse(t, spread), 0
		for _, got := range submissions(t, js, "default") {
			if got.Kind != spread.Kind {
				continue
			}
			d := minute.Add(time.Duration(1+moments) * 20 * time.Second)
			if was := got.at.Sub(r.Moment(d)); got.ID != spread.TaskID(d) || was < 0 || was > late {
				t.Errorf("what is due at %s came %s after its moment %s", d, was, r.Moment(d))
			}
			moments++
		}
		if moments < 5 {
			t.Errorf("%d came", moments)
		}
	})
}

// To change what is not about when it is due loses no due time, also if that has come.
func TestChange(t *testing.T) {
	start := soon()
	broker.Bubble(t, start, func(t *testing.T) {
		b := newBroker(t)
		store, js := open(t, b, streams.Config{}), inspect(t, b)
		book, minute := scheduler.NewBook(store), start.Truncate(time.Minute)
		kept, moved := every("kept", 10*time.Second), every("moved", 10*time.Second)
		made := put(t, book, kept)
		put(t, book, moved)
		time.Sleep(15 * time.Second) // :18, and nobody has dealt with it
		changed, err := book.Change(t.Context(), "kept", made.Version(), func(s millrace.Schedule) (millrace.Schedule, error) {
			s.Args = []byte("7")
			return s, nil
		})
		if err != nil || !changed.NextAt.Equal(minute.Add(10*time.Second)) {
			t.Errorf("%+v, %v", changed, err)
		}
		if _, err := book.Change(t.Context(), "kept", made.Version(), nil); !errors.Is(err, scheduler.ErrChanged) {
			t.Errorf("by an old version: %v", err)
		}
		if _, err := book.Change(t.Context(), "none", "", nil); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
		moved.Every = millrace.Duration(40 * time.Second)
		if e := put(t, book, moved); !e.NextAt.After(minute.Add(18 * time.Second)) {
			t.Errorf("%+v", e)
		}
		run(t, store, scheduler.Config{})
		time.Sleep(5 * time.Second) // :23
		all := submissions(t, js, "default")
		if len(all) != 1 && len(all) != 2 || all[0].ID != kept.TaskID(minute.Add(10*time.Second)) || string(all[0].Args) != "7" {
			t.Errorf("%+v", all)
		}
	})
}

// Made twice under one id it is one, and under another it is refused.
func TestCreate(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		book := scheduler.NewBook(open(t, b, streams.Config{}))
		s := every("s", time.Hour)
		for range 2 {
			if e, err := book.Create(t.Context(), s, "one"); err != nil || e.Name != "s" {
				t.Errorf("%+v, %v", e, err)
			}
		}
		if _, err := book.Create(t.Context(), s, "other"); !errors.Is(err, millrace.ErrConflict) {
			t.Errorf("by another: %v", err)
		}
		if err := book.Cancel(t.Context(), "s"); err != nil {
			t.Fatal(err)
		}
		if _, err := book.Create(t.Context(), s, "other"); err != nil {
			t.Errorf("after it was cancelled: %v", err)
		}
	})
}
