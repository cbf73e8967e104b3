package scheduler_test

import (
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
	"millrace/streams"
	"millrace/test/broker"
)

// The nights in which the clocks change, in two zones.
func TestNights(t *testing.T) {
	for _, c := range []struct{ zone, from, spring string }{
		{"Europe/Berlin", "2027-03-28 01:59:40 +01:00", "spring"},
		{"Europe/Berlin", "2027-10-31 02:59:40 +02:00", ""},
		{"America/New_York", "2027-03-14 01:59:40 -05:00", "spring"},
		{"America/New_York", "2027-11-07 01:59:40 -04:00", ""},
	} {
		t.Run(c.from, func(t *testing.T) {
			from := at(t, c.from).UTC()
			broker.Bubble(t, from, func(t *testing.T) {
				b := newBroker(t)
				store, js := open(t, b, streams.Config{}), inspect(t, b)
				run(t, store, scheduler.Config{})
				book, jump := scheduler.NewBook(store), from.Add(20*time.Second)
				byCron := func(name, cron string) millrace.Schedule {
					s := millrace.Schedule{Name: name, Kind: name, Cron: cron, Zone: c.zone}
					put(t, book, s)
					return s
				}
				// What the clock jumps over comes at once, and what it shows again does not.
				inside, hourly := byCron("inside", "30 2 * * *"), byCron("hourly", "0 * * * *")
				again := byCron("again", "0 1,2 * * *")
				before := byCron("before", "50 59 * * * *")
				time.Sleep(time.Minute)
				wantFired(t, js, before, late, from.Add(10*time.Second))
				wantFired(t, js, hourly, late, jump)
				if c.spring != "" {
					wantFired(t, js, inside, late, jump)
					wantFired(t, js, again, late, jump)
				} else {
					wantFired(t, js, inside, late)
					wantFired(t, js, again, late)
				}
			})
		})
	}
}
