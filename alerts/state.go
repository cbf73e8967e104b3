package alerts

import (
	"slices"
	"time"

	"millrace"
)

// Alert is something that is wrong, or was.
type Alert struct {
	ID   string `json:"id"`
	Rule string `json:"rule"`
	// Subject is the queue that it is about; empty if it is about everything.
	Subject string `json:"subject,omitzero"`
	// Text says what is wrong, as it was when the alert began.
	Text  string  `json:"text"`
	Value float64 `json:"value"`
	Limit float64 `json:"limit"`
	// Since is when it began, ResolvedAt when it was over; zero while it lasts.
	Since      time.Time `json:"since"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"`
}

func (a Alert) is(r reading) bool { return a.Rule == r.rule && a.Subject == r.subject }

// state is what all who watch know.
type state struct {
	// Suspected are what is too much, but not yet for long enough.
	Suspected []suspicion `json:"suspected,omitempty"`
	Active    []Alert     `json:"active,omitempty"`
	Resolved  []Alert     `json:"resolved,omitempty"` // the newest first
	Outbox    []message   `json:"outbox,omitempty"`
}

type suspicion struct {
	Rule    string    `json:"rule"`
	Subject string    `json:"subject,omitzero"`
	Since   time.Time `json:"since"`
}

const (
	resolvedKept = 24 * time.Hour
	mostResolved = 100
)

// judge takes over what was read, and returns what has begun and what is over. Those are
// put down to be sent to hooks.
func (s *state) judge(readings []reading, now time.Time, hooks []string) (changed []Alert) {
	var suspected []suspicion
	for _, r := range readings {
		i := slices.IndexFunc(s.Active, func(a Alert) bool { return a.is(r) })
		switch {
		case i >= 0 && r.well():
			changed = append(changed, s.resolve(i, now))
		case i >= 0: // it lasts
		case r.wrong():
			since := s.suspectedSince(r, now)
			if now.Sub(since) < r.hold {
				suspected = append(suspected, suspicion{r.rule, r.subject, since})
				continue
			}
			a := Alert{ID: millrace.NewID(), Rule: r.rule, Subject: r.subject, Text: r.text, Value: r.value, Limit: r.limit, Since: now}
			s.Active = append(s.Active, a)
			changed = append(changed, a)
		}
	}
	s.Suspected = suspected
	// What nobody reads any more is over: its queue was removed or paused, or its rule is off.
	for i := len(s.Active) - 1; i >= 0; i-- {
		if !slices.ContainsFunc(readings, s.Active[i].is) {
			changed = append(changed, s.resolve(i, now))
		}
	}
	s.Resolved = s.resolvedSince(now.Add(-resolvedKept))
	for _, a := range changed {
		for _, hook := range hooks {
			s.Outbox = append(s.Outbox, newMessage(a, hook, now))
		}
	}
	s.Outbox = s.Outbox[max(0, len(s.Outbox)-mostUnsent):]
	return changed
}

func (s *state) suspectedSince(r reading, now time.Time) time.Time {
	for _, known := range s.Suspected {
		if known.Rule == r.rule && known.Subject == r.subject {
			return known.Since
		}
	}
	return now
}

func (s *state) resolve(i int, now time.Time) Alert {
	a := s.Active[i]
	a.ResolvedAt = now
	s.Active = slices.Delete(s.Active, i, i+1)
	s.Resolved = slices.Insert(s.Resolved, 0, a)
	return a
}

func (s *state) resolvedSince(since time.Time) []Alert {
	var kept []Alert
	for _, a := range s.Resolved {
		if a.ResolvedAt.After(since) && len(kept) < mostResolved {
			kept = append(kept, a)
		}
	}
	return kept
}
