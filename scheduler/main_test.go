package scheduler_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"millrace"
	"millrace/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func byCron(cron, zone string) millrace.Schedule {
	return millrace.Schedule{Name: "n", Kind: "k", Cron: cron, Zone: zone}
}

func parse(t testing.TB, s millrace.Schedule) scheduler.Recurrence {
	t.Helper()
	r, err := scheduler.Parse(s)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return r
}

func location(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// stamp is how the tests spell times: the wall clock, and what it differs from UTC.
const stamp = "2006-01-02 15:04:05 -07:00"

func at(t testing.TB, s string) time.Time {
	t.Helper()
	parsed, err := time.Parse(stamp, s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// list returns the next n due times, or as many as there are.
func list(r scheduler.Recurrence, after time.Time, n int) []time.Time {
	var due []time.Time
	for range n {
		next, ok := r.Next(after)
		if !ok {
			break
		}
		due, after = append(due, next), next
	}
	return due
}
