package scheduler_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// shown are the schedules in the book, each in some words.
func shown(t *testing.T, book *scheduler.Book) string {
	t.Helper()
	all, err := book.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range all {
		word := e.Name + " " + e.Kind + " " + e.Every.String()
		if e.Declared {
			word += " declared"
		}
		if e.Finished() {
			word += " finished"
		}
		if !e.PausedAt.IsZero() {
			word += " paused"
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return strings.Join(words, "\n")
}

var (
	firstFile  = []millrace.Schedule{every("a", time.Hour), every("b", time.Hour), every("c", time.Hour)}
	secondFile = []millrace.Schedule{every("b", 2*time.Hour), every("c", time.Hour), every("mine", time.Minute)}
)

const afterSecond = "b k.b 2h0m0s declared\nc k.c 1h0m0s declared\nmine k.mine 1m0s declared\nother k.other 1h0m0s"

// Whoever reconciles, however many at once, it comes to what the file says.
func TestReconcile(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		book := scheduler.NewBook(open(t, b, streams.Config{}))
		put(t, book, every("other", time.Hour))
		put(t, book, every("mine", time.Hour))
		for _, file := range [][]millrace.Schedule{firstFile, firstFile, secondFile} {
			var starting sync.WaitGroup
			for range 8 {
				starting.Go(func() {
					if err := book.Reconcile(t.Context(), file); err != nil {
						t.Error(err)
					}
				})
			}
			starting.Wait()
		}
		if got := shown(t, book); got != afterSecond {
			t.Errorf("after the second file:\n%s", got)
		}

		// It is left alone if it is as it should be, paused or not.
		before, err := book.Pause(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		if err := book.Reconcile(t.Context(), secondFile); err != nil {
			t.Error(err)
		}
		if after, err := book.Get(t.Context(), "c"); err != nil || after.Version() != before.Version() {
			t.Errorf("it was written again: %+v, %v", after, err)
		}
		changed := every("c", time.Hour)
		changed.Args = []byte("1")
		if err := book.Reconcile(t.Context(), []millrace.Schedule{changed}); err != nil {
			t.Error(err)
		}
		if got := shown(t, book); got != "c k.c 1h0m0s declared paused\nother k.other 1h0m0s" {
			t.Errorf("changed and paused:\n%s", got)
		}

		for what, err := range map[string]error{
			"put":    func() error { _, err := book.Put(t.Context(), changed); return err }(),
			"change": func() error { _, err := book.Change(t.Context(), "c", "", nil); return err }(),
			"cancel": book.Cancel(t.Context(), "c"),
		} {
			if !errors.Is(err, millrace.ErrDeclared) {
				t.Errorf("%s: %v", what, err)
			}
		}

		// Times that have passed are no error, whether it was there before or not. What
		// never comes is one.
		at := time.Now().Add(time.Minute)
		past := []millrace.Schedule{{Name: "past", Kind: "k", At: at.Add(-time.Hour)}, {Name: "soon", Kind: "k", At: at}, {Name: "ended", Kind: "k", Cron: "@hourly", End: at.Add(-time.Hour)}}
		run(t, open(t, b, streams.Config{}), scheduler.Config{})
		for range 2 {
			if err := book.Reconcile(t.Context(), past); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Minute)
		}
		if got := shown(t, book); got != "ended k 0s declared finished\nother k.other 1h0m0s\npast k 0s declared finished\nsoon k 0s declared finished" {
			t.Errorf("what has passed:\n%s", got)
		}
		wantRuns(t, book, "soon", runs("", at.Add(time.Second-1).Truncate(time.Second))...)
		for _, s := range []millrace.Schedule{{Name: "bad", Kind: "k", Cron: "0 0 30 2 *"}, {Name: "bad", Kind: "k", Cron: "@daily", Queue: "nope"}, {Name: "bad", Kind: "K", Cron: "@daily"}} {
			if err := book.Reconcile(t.Context(), []millrace.Schedule{s}); !errors.Is(err, millrace.ErrInvalid) || !strings.Contains(err.Error(), "schedule bad") {
				t.Errorf("%+v: %v", s, err)
			}
		}
	})
}

// A process dies before any of the writes with which it reconciles, and another one
// does it again.
func TestDeathWhileReconciling(t *testing.T) {
	broker.Bubble(t, soon(), func(t *testing.T) {
		b := newBroker(t)
		for n := 0; ; n++ {
			way := &broker.Mortal{Broker: b, Left: math.MaxInt}
			store, err := streams.Open(t.Context(), streams.Config{InProcess: way})
			if err != nil {
				t.Fatal(err)
			}
			book := scheduler.NewBook(store)
			put(t, book, every("other", time.Hour))
			put(t, book, every("mine", time.Hour))
			if err := book.Reconcile(t.Context(), firstFile); err != nil {
				t.Fatal(err)
			}
			store.Close()
			mortal := &broker.Mortal{Broker: b, Left: n}
			if store, err = streams.Open(t.Context(), streams.Config{InProcess: mortal}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if err := scheduler.NewBook(store).Reconcile(ctx, secondFile); (err != nil) != mortal.Died() {
				t.Errorf("before write %d: %v", n, err)
			}
			cancel()
			store.Close()

			store = open(t, b, streams.Config{})
			book = scheduler.NewBook(store)
			if err := book.Reconcile(t.Context(), secondFile); err != nil {
				t.Error(err)
			}
			if got := shown(t, book); got != afterSecond {
				t.Errorf("after a death before write %d:\n%s", n, got)
			}
			if err := book.Reconcile(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if got := shown(t, book); got != "other k.other 1h0m0s" {
				t.Errorf("when nothing is declared:\n%s", got)
			}
			if !mortal.Died() {
				if t.Logf("it died before each of %d writes", n); n < 5 {
					t.Error("there must be more")
				}
				return
			}
		}
	})
}
