package scheduler_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"millrace"
	"millrace/scheduler"
)

// The nights in which clocks jump, in 2026 and 2027: Berlin over 02:00 to 03:00
// and back, New York an hour earlier when back, Lord Howe by half an hour only.
var (
	berlinSpring   = []string{"2026-03-29", "2027-03-28"}
	berlinAutumn   = []string{"2026-10-25", "2027-10-31"}
	newYorkSpring  = []string{"2026-03-08", "2027-03-14"}
	newYorkAutumn  = []string{"2026-11-01", "2027-11-07"}
	lordHoweSpring = []string{"2026-10-04", "2027-10-03"}
	lordHoweAutumn = []string{"2026-04-05", "2027-04-04"}
)

func TestJumps(t *testing.T) {
	const berlin, newYork, lordHowe = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"
	for _, c := range []struct {
		zone   string
		nights []string
		cron   string
		want   string // all due times from 00:30 to 04:00
	}{
		{berlin, berlinSpring, "30 2 * * *", "03:00+0200"},
		{berlin, berlinSpring, "0 2 * * *", "03:00+0200"},
		{berlin, berlinSpring, "59 59 1 * * *", "01:59:59+0100"},
		{berlin, berlinSpring, "59 59 2 * * *", "03:00+0200"},
		{berlin, berlinSpring, "0 3 * * *", "03:00+0200"},
		{berlin, berlinSpring, "0,30 2,3 * * *", "03:00+0200 03:30+0200"},
		{berlin, berlinSpring, "*/15 2 * * *", "03:00+0200"},
		{berlin, berlinSpring, "0 */2 * * *", "03:00+0200 04:00+0200"},
		{berlin, berlinSpring, "*/30 * * * *", "01:00+0100 01:30+0100 03:00+0200 03:30+0200 04:00+0200"},
		{berlin, berlinSpring, "*/30 0-23 * * *", "01:00+0100 01:30+0100 03:00+0200 03:30+0200 04:00+0200"},
		{berlin, berlinSpring, "15 */1 * * *", "01:15+0100 03:15+0200"},
		{berlin, berlinSpring, "@hourly", "01:00+0100 03:00+0200 04:00+0200"},

		{berlin, berlinAutumn, "30 2 * * *", "02:30+0200"},
		{berlin, berlinAutumn, "0 2 * * *", "02:00+0200"},
		{berlin, berlinAutumn, "0 3 * * *", "03:00+0100"},
		{berlin, berlinAutumn, "*/15 2 * * *", "02:00+0200 02:15+0200 02:30+0200 02:45+0200"},
		{berlin, berlinAutumn, "0 */2 * * *", "02:00+0200 04:00+0100"},
		{berlin, berlinAutumn, "*/30 * * * *", "01:00+0200 01:30+0200 02:00+0200 02:30+0200 02:00+0100 02:30+0100 03:00+0100 03:30+0100 04:00+0100"},
		{berlin, berlinAutumn, "15 * * * *", "01:15+0200 02:15+0200 02:15+0100 03:15+0100"},

		{newYork, newYorkSpring, "30 2 * * *", "03:00-0400"},
		{newYork, newYorkSpring, "15,45 1-3 * * *", "01:15-0500 01:45-0500 03:00-0400 03:15-0400 03:45-0400"},
		{newYork, newYorkSpring, "*/30 * * * *", "01:00-0500 01:30-0500 03:00-0400 03:30-0400 04:00-0400"},
		{newYork, newYorkAutumn, "30 1 * * *", "01:30-0400"},
		{newYork, newYorkAutumn, "15,45 1-3 * * *", "01:15-0400 01:45-0400 02:15-0500 02:45-0500 03:15-0500 03:45-0500"},
		{newYork, newYorkAutumn, "30 2 * * *", "02:30-0500"},
		{newYork, newYorkAutumn, "0 * * * *", "01:00-0400 01:00-0500 02:00-0500 03:00-0500 04:00-0500"},

		{lordHowe, lordHoweSpring, "15 2 * * *", "02:30+1100"},
		{lordHowe, lordHoweSpring, "0,30,45 2 * * *", "02:30+1100 02:45+1100"},
		{lordHowe, lordHoweSpring, "*/30 * * * *", "01:00+1030 01:30+1030 02:30+1100 03:00+1100 03:30+1100 04:00+1100"},
		{lordHowe, lordHoweAutumn, "45 1 * * *", "01:45+1100"},
		{lordHowe, lordHoweAutumn, "0,30 1,2 * * *", "01:00+1100 01:30+1100 02:00+1030 02:30+1030"},
		{lordHowe, lordHoweAutumn, "*/30 * * * *", "01:00+1100 01:30+1100 01:30+1030 02:00+1030 02:30+1030 03:00+1030 03:30+1030 04:00+1030"},
	} {
		zone := location(t, c.zone)
		for _, night := range c.nights {
			midnight, err := time.ParseInLocation(time.DateOnly, night, zone)
			if err != nil {
				t.Fatal(err)
			}
			year, month, day := midnight.Date()
			until := time.Date(year, month, day, 4, 0, 0, 0, zone)
			var got []string
			for _, due := range list(parse(t, byCron(c.cron, c.zone)), midnight.Add(30*time.Minute), 20) {
				layout := "15:04-0700"
				if due.Second() != 0 {
					layout = "15:04:05-0700"
				}
				if !due.After(until) {
					got = append(got, due.In(zone).Format(layout))
				}
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("%s in %s, %s:\n got %s\nwant %s", c.cron, c.zone, night, got, c.want)
			}
		}
	}
}

// Clocks that jump at midnight or over a whole day.
func TestOddJumps(t *testing.T) {
	for _, c := range []struct{ cron, zone, after, want string }{
		{"@daily", "Africa/Cairo", "2026-04-23 12:00:00 +02:00", "2026-04-24 01:00:00 +03:00"},
		{"@daily", "Africa/Cairo", "2026-04-24 01:00:00 +03:00", "2026-04-25 00:00:00 +03:00"},
		{"30 23 * * *", "Africa/Cairo", "2026-10-29 12:00:00 +03:00", "2026-10-29 23:30:00 +03:00"},
		{"30 23 * * *", "Africa/Cairo", "2026-10-29 23:30:00 +03:00", "2026-10-30 23:30:00 +02:00"},
		{"0 12 30 12 *", "Pacific/Apia", "2011-12-29 23:00:00 -10:00", "2011-12-31 00:00:00 +14:00"},
		{"0 12 * * *", "Pacific/Apia", "2011-12-31 00:00:00 +14:00", "2011-12-31 12:00:00 +14:00"},
		// In the middle of what comes twice.
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:29:00 +02:00", "2026-10-25 02:30:00 +02:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:59:59 +02:00", "2026-10-26 02:30:00 +01:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:00:00 +01:00", "2026-10-26 02:30:00 +01:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-25 02:29:00 +01:00", "2026-10-26 02:30:00 +01:00"},
		// One second before the jump, and at it.
		{"30 2 * * *", "Europe/Berlin", "2026-03-29 01:59:59 +01:00", "2026-03-29 03:00:00 +02:00"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"},
		// Before the zone had its first rule, and beyond the last year that has one written down.
		{"0 0 1 1 *", "Europe/Berlin", "1800-06-01 00:00:00 +00:00", "1800-12-31 23:06:32 +00:00"},
		{"30 2 * 3 0", "Europe/Berlin", "2149-03-29 00:00:00 +00:00", "2149-03-30 03:00:00 +02:00"},
	} {
		got, ok := parse(t, byCron(c.cron, c.zone)).Next(at(t, c.after))
		if want := at(t, c.want); !ok || !got.Equal(want) {
			t.Errorf("%s in %s after %s: got %s, %v, want %s", c.cron, c.zone, c.after, got.In(location(t, c.zone)).Format(stamp), ok, c.want)
		}
	}
}

// An interval knows no clock, and a jitter none either: in each of these nights what is
// due every half hour is, and comes within its jitter.
func TestEveryThroughTheNights(t *testing.T) {
	for zone, nights := range map[string][][]string{
		"Europe/Berlin": {berlinSpring, berlinAutumn}, "America/New_York": {newYorkSpring, newYorkAutumn},
	} {
		for _, night := range slices.Concat(nights...) {
			midnight, err := time.ParseInLocation(time.DateOnly, night, location(t, zone))
			if err != nil {
				t.Fatal(err)
			}
			half := every("n", 30*time.Minute)
			half.Jitter = millrace.Duration(10 * time.Minute)
			cron := byCron("*/30 * * * *", zone)
			cron.Jitter = half.Jitter
			for _, r := range []scheduler.Recurrence{parse(t, half), parse(t, cron)} {
				for i, due := range list(r, midnight, 12) {
					if want := midnight.Add(time.Duration(i+1) * 30 * time.Minute); !due.Equal(want) {
						t.Errorf("%s, %s: due at %s, want %s", zone, night, due, want)
					}
					if late := r.Moment(due).Sub(due); late < 0 || late > 10*time.Minute {
						t.Errorf("%s, %s: due at %s, comes %s later", zone, night, due, late)
					}
				}
			}
		}
	}
}
