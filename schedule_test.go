package millrace_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"millrace"
)

func TestScheduleJSON(t *testing.T) {
	for _, c := range []struct {
		name     string
		schedule millrace.Schedule
		want     string
	}{
		{
			"cron",
			millrace.Schedule{
				Name: "nightly", Kind: "report.send", Queue: "bulk", Args: json.RawMessage(`{"to":"a"}`),
				Options: millrace.Options{MaxAttempts: 2, Timeout: seconds(60), Tags: []string{"x"}},
				Cron:    "0 9 * * mon-fri", Zone: "Europe/Berlin", Overlap: millrace.OverlapSkip,
			},
			`{"name":"nightly","kind":"report.send","queue":"bulk","args":{"to":"a"},"max_attempts":2,"timeout":"1m0s","tags":["x"],` +
				`"cron":"0 9 * * mon-fri","zone":"Europe/Berlin","overlap":"skip"}`,
		},
		{
			"every",
			millrace.Schedule{Name: "pulse", Kind: "k", Every: seconds(90)},
			`{"name":"pulse","kind":"k","every":"1m30s"}`,
		},
		{
			"at",
			millrace.Schedule{Name: "once", Kind: "k", At: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)},
			`{"name":"once","kind":"k","at":"2027-01-02T03:04:05Z"}`,
		},
	} {
		data, err := json.Marshal(c.schedule)
		if err != nil || string(data) != c.want {
			t.Errorf("%s: got %v\n%s, want\n%s", c.name, err, data, c.want)
		}
		var back millrace.Schedule
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.schedule, back); diff != "" {
			t.Errorf("%s came back changed (-want +got):\n%s", c.name, diff)
		}
		if err := back.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestScheduleValidate(t *testing.T) {
	good := millrace.Schedule{Name: "n", Kind: "k", Every: seconds(1)}
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		field  string // what the error must name
		change func(*millrace.Schedule)
	}{
		{"name", func(s *millrace.Schedule) { s.Name = "" }},
		{"name", func(s *millrace.Schedule) { s.Name = "a.b" }},
		{"kind", func(s *millrace.Schedule) { s.Kind = "K" }},
		{"queue", func(s *millrace.Schedule) { s.Queue = "*" }},
		{"args", func(s *millrace.Schedule) { s.Args = json.RawMessage(`{`) }},
		{"max_attempts", func(s *millrace.Schedule) { s.MaxAttempts = -1 }},
		{"backoff.policy", func(s *millrace.Schedule) { s.Backoff = &millrace.Backoff{Policy: "never"} }},
		{"timeout", func(s *millrace.Schedule) { s.Timeout = -1 }},
		{"result_ttl", func(s *millrace.Schedule) { s.ResultTTL = millrace.MaxResultTTL + 1 }},
		{"exactly one of at, every and cron, not 0", func(s *millrace.Schedule) { s.Every = 0 }},
		{"exactly one of at, every and cron, not 2", func(s *millrace.Schedule) { s.At = at }},
		{"exactly one of at, every and cron, not 3", func(s *millrace.Schedule) { s.At, s.Cron = at, "@daily" }},
		{"every", func(s *millrace.Schedule) { s.Every = seconds(-1) }},
		{"every", func(s *millrace.Schedule) { s.Every = millrace.Duration(999 * time.Millisecond) }},
		{"every", func(s *millrace.Schedule) { s.Every = millrace.Duration(1500 * time.Millisecond) }},
		{"cron", func(s *millrace.Schedule) { s.Every, s.Cron = 0, strings.Repeat("*", millrace.MaxCronLen+1) }},
		{"zone", func(s *millrace.Schedule) { s.Zone = "UTC" }},
		{"overlap", func(s *millrace.Schedule) { s.Overlap = "never" }},
	} {
		s := good
		c.change(&s)
		if err := s.Validate(); !errors.Is(err, millrace.ErrInvalid) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%+v: got %v, want ErrInvalid about %s", s, err, c.field)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

func TestScheduleValidateTellsAll(t *testing.T) {
	s := millrace.Schedule{Options: millrace.Options{MaxAttempts: -1, Timeout: -1}, Every: 1, Zone: "UTC", Overlap: "x"}
	got := strings.Split(s.Validate().Error(), "\n")
	if len(got) != 7 {
		t.Errorf("want 7 violations (name, kind, max_attempts, timeout, every, zone, overlap), got %q", got)
	}
}

func TestScheduleTaskID(t *testing.T) {
	s := millrace.Schedule{Name: "nightly"}
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	// Changing what it is derived from would submit twice what is due around an update.
	if got, want := s.TaskID(due), "b0184af5-0fc6-5d07-91c9-636b4f31bacf"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if s.TaskID(due.In(time.FixedZone("elsewhere", 3600)).Add(time.Millisecond)) != s.TaskID(due) {
		t.Error("the same second has another id in another zone, or a millisecond later")
	}
	for _, other := range []string{s.TaskID(due.Add(time.Second)), millrace.Schedule{Name: "weekly"}.TaskID(due)} {
		if other == s.TaskID(due) {
			t.Error("another due time or another name has the same id")
		}
	}
}
