package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// A picture never scrolls a terminal, and leaves nothing of the last one.
func TestTopFits(t *testing.T) {
	for _, c := range []struct {
		picture       string
		width, height int
		want          string
	}{
		{"a\nbb\n", 80, 24, "a\x1b[K\r\nbb\x1b[K"},
		{"a\nbb\nccc\n", 2, 3, "a\x1b[K\r\nbb\x1b[K\r\ncc\x1b[K"},
		{"äöü\nb\nc", 2, 2, "äö\x1b[K\r\nb\x1b[K"},
		{"a\nb", 1, 0, "a\x1b[K"},
		{"", 80, 24, "\x1b[K"},
	} {
		if got := fit(c.picture, c.width, c.height); got != c.want {
			t.Errorf("%q in %dx%d: %q, want %q", c.picture, c.width, c.height, got, c.want)
		}
	}
}

// Rates are of the time between two looks. A log that is made anew has none at first.
func TestTopRates(t *testing.T) {
	at := time.Date(2027, 3, 28, 9, 0, 0, 0, time.UTC)
	before := glance{At: at, Queues: []toppedQueue{{Name: "a", Entered: 100, Pending: 50, InFlight: 10}, {Name: "b", Entered: 9}}}
	now := glance{At: at.Add(2 * time.Second), Queues: []toppedQueue{{Name: "a", Entered: 120, Pending: 52, InFlight: 8}, {Name: "b", Entered: 1}, {Name: "c", Entered: 7}}}
	now.rate(before)
	for i, want := range []struct{ in, done float64 }{{10, 10}, {0, 0}, {0, 0}} {
		if q := now.Queues[i]; q.In != want.in || q.Done != want.done {
			t.Errorf("%s: %v in and %v done a second, want %+v", q.Name, q.In, q.Done, want)
		}
	}
}

// What a task says of itself is shown, and never a command to the terminal.
func TestTopShowsText(t *testing.T) {
	g := glance{Dead: []json.RawMessage{json.RawMessage(`{"id":"x","kind":"k","queue":"q","error":"\u001b[2Jgone","died_at":"2027-03-28T09:00:00Z"}`)}}
	var out bytes.Buffer
	if err := g.dead(&out); err != nil || strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "?[2Jgone") {
		t.Errorf("it shows %q, %v", out.String(), err)
	}
}
