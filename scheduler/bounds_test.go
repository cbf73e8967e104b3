package scheduler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace"
	"millrace/scheduler"
)

// The two ways to spell an interval, and a time, are kept as one.
func TestCanonical(t *testing.T) {
	noon := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	for cron, want := range map[string]millrace.Schedule{
		"@every 5m":                     {Every: millrace.Duration(5 * time.Minute)},
		" @EVERY  1h30m ":               {Every: millrace.Duration(90 * time.Minute)},
		"@at 2027-01-01T12:00:00Z":      {At: noon},
		"@At 2027-01-01t13:00:00+01:00": {At: noon},
		"@daily":                        {Cron: "@daily"},
		"0 9 * * mon":                   {Cron: "0 9 * * mon"},
	} {
		got, err := millrace.Schedule{Cron: cron}.Canonical()
		if err != nil || got.Cron != want.Cron || got.Every != want.Every || !got.At.Equal(want.At) {
			t.Errorf("%q: %+v, %v", cron, got, err)
		}
		again, err := got.Canonical()
		if err != nil || again.Cron != got.Cron || again.Every != got.Every || !again.At.Equal(got.At) {
			t.Errorf("%q again: %+v, %v", cron, again, err)
		}
		one, other := millrace.Schedule{Name: "n", Kind: "k", Cron: cron}, want
		other.Name, other.Kind = "n", "k"
		from := noon.Add(-time.Second)
		a, aOk := parse(t, one).Next(from)
		b, bOk := parse(t, other).Next(from)
		if !a.Equal(b) || aOk != bOk {
			t.Errorf("%q is due at %s, what it means at %s", cron, a, b)
		}
	}
	if _, err := scheduler.Parse(millrace.Schedule{Name: "n", Kind: "k", Cron: "@every 5m", Every: millrace.Duration(time.Minute)}); !errors.Is(err, millrace.ErrInvalid) {
		t.Errorf("both: %v", err)
	}
}

func TestBounds(t *testing.T) {
	day := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	clock := func(h, m, s int) time.Time {
		return day.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second)
	}
	for _, c := range []struct {
		name       string
		start, end time.Time
		want       []time.Time // all of 09:00, 10:00 … 17:00 each day, from midnight on
	}{
		{"both are times that are due", clock(9, 0, 0), clock(11, 0, 0), []time.Time{clock(9, 0, 0), clock(10, 0, 0), clock(11, 0, 0)}},
		{"a second off", clock(9, 0, 1), clock(10, 59, 59), []time.Time{clock(10, 0, 0)}},
		{"less than a second off", clock(9, 0, 0).Add(1), clock(11, 0, 0).Add(-1), []time.Time{clock(10, 0, 0)}},
		{"none between", clock(9, 0, 1), clock(9, 59, 59), nil},
		{"a start that has passed", clock(-48, 0, 0), clock(9, 30, 0), []time.Time{clock(9, 0, 0)}},
		{"an end that has passed", time.Time{}, clock(-1, 0, 0), nil},
		{"days ahead", clock(40, 0, 0), clock(41, 0, 0), []time.Time{clock(40, 0, 0), clock(41, 0, 0)}},
	} {
		s := byCron("0 9-17 * * *", "")
		s.Start, s.End = c.start, c.end
		got := list(parse(t, s), day, 10)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if !got[i].Equal(c.want[i]) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
	for _, s := range []millrace.Schedule{
		{At: clock(9, 0, 0), Start: day},
		{At: clock(9, 0, 0), End: day},
		{Cron: "@daily", Start: day, End: day},
		{Cron: "@daily", Start: clock(1, 0, 0), End: day},
		{Cron: "@daily", Jitter: -1},
		{Cron: "@daily", Jitter: millrace.Duration(1500 * time.Millisecond)},
		{Cron: "@daily", Jitter: millrace.Duration(25 * time.Hour)},
		{Cron: "@daily", CatchUp: "all"},
	} {
		s.Name, s.Kind = "n", "k"
		if _, err := scheduler.Parse(s); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%+v: %v", s, err)
		}
	}
}

// Whoever computes it, a task comes at the same moment: not before its due time, within
// the jitter, and before the next due time. And whenever one looks, what is upcoming is
// the first whose moment is ahead.
func TestJitter(t *testing.T) {
	day := time.Date(2027, 3, 28, 0, 0, 0, 0, time.UTC) // a night in which clocks change
	rapid.Check(t, func(t *rapid.T) {
		s := millrace.Schedule{
			Name: rapid.StringMatching("[a-z]{1,8}").Draw(t, "name"), Kind: "k",
			Jitter: millrace.Duration(time.Duration(rapid.IntRange(0, 4000).Draw(t, "jitter")) * time.Second),
		}
		if rapid.Bool().Draw(t, "cron") {
			s.Cron, s.Zone = rapid.SampledFrom([]string{"*/7 * * * *", "30 2 * * *", "0,1,5 */3 * * *", "10,11,50 * * * * *"}).Draw(t, "expression"), "Europe/Berlin"
		} else {
			s.Every = millrace.Duration(time.Duration(rapid.IntRange(1, 5000).Draw(t, "every")) * time.Second)
		}
		if rapid.Bool().Draw(t, "bounded") {
			s.Start = day.Add(time.Duration(rapid.IntRange(-3600, 7200).Draw(t, "start")) * time.Second)
			s.End = s.Start.Add(time.Duration(rapid.IntRange(1, 20000).Draw(t, "length")) * time.Second)
		}
		r, err := scheduler.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		other, err := scheduler.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		due := list(r, day, 30)
		for i, d := range due {
			m := r.Moment(d)
			if late := m.Sub(d); late < 0 || late > time.Duration(s.Jitter) || late%time.Second != 0 {
				t.Fatalf("due at %s, its moment is %s", d, m)
			}
			if i+1 < len(due) && !m.Before(due[i+1]) {
				t.Fatalf("due at %s, its moment is %s, when the next is due", d, m)
			}
			if !other.Moment(d).Equal(m) {
				t.Fatalf("due at %s, its moment is %s to one, and %s to another", d, m, other.Moment(d))
			}
			if !s.Start.IsZero() && (d.Before(s.Start) || d.After(s.End)) {
				t.Fatalf("due at %s, not from %s to %s", d, s.Start, s.End)
			}
		}
		if len(due) < 3 {
			return
		}
		dealt := rapid.IntRange(0, len(due)-2).Draw(t, "dealt")
		now := due[dealt].Add(time.Duration(rapid.IntRange(0, 9000).Draw(t, "now")) * time.Second)
		want := time.Time{}
		for _, d := range due[dealt+1:] {
			if r.Moment(d).After(now) {
				want = d
				break
			}
		}
		if got, ok := r.Upcoming(due[dealt], now); !want.IsZero() && (!ok || !got.Equal(want)) {
			t.Fatalf("after %s, at %s: %s, want %s", due[dealt], now, got, want)
		}
	})
}

// Many schedules of the same time come all over their jitter.
func TestJitterSpreads(t *testing.T) {
	due := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := map[time.Duration]int{}
	for i := range 6000 {
		s := every(fmt.Sprintf("n%d", i), time.Hour)
		s.Jitter = millrace.Duration(59 * time.Second)
		seen[parse(t, s).Moment(due).Sub(due)]++
	}
	for i := range 60 {
		if n := seen[time.Duration(i)*time.Second]; n < 50 || n > 150 {
			t.Errorf("%d of 6000 come after %d s, want about 100", n, i)
		}
	}
	if len(seen) != 60 {
		t.Errorf("they come at %d different times", len(seen))
	}
}
