package millracetest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"millrace"
	"millrace/millracetest"
	"millrace/processor"
)

// Each task is seen once, whatever ways it takes: at once, later, in a moment, by a
// schedule, and through retries and snoozes, short and long.
func TestSubmitted(t *testing.T) {
	cfg := millracetest.Config{Queues: []string{"default", "slow"}, Routes: []millrace.Route{{Kinds: "odd.*", Queue: "slow"}}}
	millracetest.RunWith(t, cfg, func(t *testing.T, m *millracetest.Millrace) {
		runs := 0
		processor.Handle(m.Processor, "odd.job", func(context.Context, millrace.Task[int]) (int, error) {
			switch runs++; runs {
			case 1:
				return 0, errors.New("at once")
			case 2:
				return 0, millrace.Snooze(time.Hour)
			case 3:
				return 0, millrace.Snooze(time.Second)
			case 4:
				return 0, errors.New("later")
			}
			return runs, nil
		}, processor.Kind{Backoff: &millrace.Backoff{Policy: millrace.List, Delays: []millrace.Duration{0, millrace.Duration(time.Hour)}}})
		processor.Handle(m.Processor, "even.job", func(context.Context, millrace.Task[int]) (int, error) { return 0, nil }, processor.Kind{})

		id := m.Submit("odd.job", 1)
		for i, delay := range []time.Duration{0, time.Second, time.Minute} {
			task := millrace.RawTask{ID: string(rune('a' + i)), Kind: "even.job"}
			if err := m.Store.SubmitAt(t.Context(), task, time.Now().Add(delay)); err != nil {
				t.Fatal(err)
			}
			if err := m.Store.SubmitAt(t.Context(), task, time.Now().Add(delay)); !errors.Is(err, millrace.ErrConflict) {
				t.Error(err)
			}
		}
		m.Schedule(millrace.Schedule{Name: "once", Kind: "even.job", At: time.Now().Add(90 * time.Minute)})
		for _, id := range []string{"a", "b", "c"} {
			m.Wait(id)
		}
		if got := millracetest.Result[int](m, id); got != 5 {
			t.Errorf("it succeeded in run %d", got)
		}
		m.Advance(time.Hour)
		if odd := m.Submitted("odd.*"); len(odd) != 1 || odd[0].ID != id || odd[0].Queue != "slow" || string(odd[0].Args) != "1" {
			t.Errorf("%+v", odd)
		}
		var ids []string
		for _, even := range m.Submitted("even.job") {
			ids = append(ids, even.ID)
		}
		if len(ids) != 4 || !slices.Equal(ids[:3], []string{"a", "b", "c"}) {
			t.Errorf("%v", ids)
		}
		if none := m.Submitted("mail.*"); none != nil {
			t.Errorf("%+v", none)
		}
	})
}

// One test after another has a Millrace of its own, which begins at midnight.
func TestBegins(t *testing.T) {
	for range 2 {
		millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
			if now := time.Now().UTC(); now.Hour() != 0 || now.Minute() != 0 || len(m.Submitted("*")) != 0 {
				t.Errorf("it is %s, and there is %+v", now, m.Submitted("*"))
			}
		})
	}
}

// Records expire when they should.
func TestRecordsExpire(t *testing.T) {
	millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
		processor.Handle(m.Processor, "job", func(context.Context, millrace.Task[any]) (any, error) { return nil, nil }, processor.Kind{ResultTTL: 3 * time.Hour})
		id := m.Submit("job", nil)
		m.Wait(id)
		m.Advance(3*time.Hour - time.Second)
		if _, err := m.Store.Lookup(t.Context(), id); err != nil {
			t.Error(err)
		}
		m.Advance(10 * time.Second)
		if found, err := m.Store.Lookup(t.Context(), id); !errors.Is(err, millrace.ErrGone) {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// Parallel tests wait for each other.
func TestParallel(t *testing.T) {
	for _, name := range []string{"one", "other"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
				processor.Handle(m.Processor, "job", func(context.Context, millrace.Task[any]) (any, error) { return nil, nil }, processor.Kind{})
				m.Wait(m.Submit("job", nil))
			})
		})
	}
}
