package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// auditAge is how long it is kept who did what.
const auditAge = 90 * 24 * time.Hour

// audit keeps who did what. Nothing of it can be removed or changed by an API call.
func (c Config) audit() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        auditStream,
		Description: "who did what",
		Subjects:    []string{"audit.>"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		MaxAge:      auditAge,
		MaxMsgSize:  16 << 10,
		// All of what was done to something.
		MaxMsgsPerSubject: -1,
		Replicas:          c.Replicas,
		DenyDelete:        true,
		AllowDirect:       true,

		AllowAtomicPublish: true,
	}
}

// AuditEntry says who did what. It has nothing of what was sent: no args, no body, no key.
type AuditEntry struct {
	// At is when it was done.
	At time.Time `json:"at"`
	// Who is the prefix of a key, or "loopback" where nobody had to say.
	Who string `json:"who"`
	// Name is of that key, empty without one.
	Name string `json:"name,omitempty"`
	// Action is the name of the operation, as in cancel-task.
	Action string `json:"action"`
	// On is what it was done to, as the path of the request has it.
	On string `json:"on"`
	// Status is what it was answered with.
	Status int `json:"status"`
	// From is the address that it came from.
	From string `json:"from,omitempty"`
}

// maxOn is how much of what something was done to its subject has.
const maxOn = 100

func auditSubject(e AuditEntry) string {
	on := e.On
	if len(on) > maxOn {
		on = on[:maxOn]
	}
	if on == "" {
		on = "-"
	}
	return "audit." + millrace.EncodeToken(e.Action) + "." + millrace.EncodeToken(on)
}

// Audit writes an entry down. Errors wrap [millrace.ErrUnavailable] if the broker did not
// take it.
func (s *Store) Audit(ctx context.Context, e AuditEntry) error {
	if len(e.On) > maxValueOfOn {
		e.On = e.On[:maxValueOfOn]
	}
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	msg := nats.NewMsg(auditSubject(e))
	msg.Data = data
	if _, err := s.audits.store(ctx, msg); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// maxValueOfOn is how much of what something was done to its entry has.
const maxValueOfOn = 1000

// AuditQuery says which entries to list. An empty field matches any.
type AuditQuery struct {
	Who, Action string
	// On is a part of what it was done to.
	On string
	// Refused is for those alone that were answered with a status of 400 or more.
	Refused bool
	// Since and Until are about when it was written down: at Since or later, and before Until.
	Since, Until time.Time
	// Limit is how many at most; 500 are the most that there can be.
	Limit int
	// Cursor is where the page before ended; empty for the first one.
	Cursor string
}

// AuditPage is a part of the audit log.
type AuditPage struct {
	Entries []AuditEntry
	// Next is the cursor of the next page, empty behind the last one.
	Next string
}

// Audited returns who did what, the newest first. A page may be short and not the last.
// Errors wrap [millrace.ErrInvalid], for a cursor that is none, or
// [millrace.ErrUnavailable].
func (s *Store) Audited(ctx context.Context, q AuditQuery) (AuditPage, error) {
	log := &backwards[AuditEntry]{stream: auditStream, accept: func(st stored) (AuditEntry, bool) {
		var e AuditEntry
		if err := json.Unmarshal(st.data, &e); err != nil {
			return e, false
		}
		return e, (q.Who == "" || q.Who == e.Who || q.Who == e.Name) && (q.Action == "" || q.Action == e.Action) &&
			contains(e.On, q.On) && (!q.Refused || e.Status >= 400)
	}}
	if q.Cursor != "" {
		before, err := strconv.ParseUint(q.Cursor, 36, 64)
		if err != nil || before < 2 {
			return AuditPage{}, fmt.Errorf("%w: the cursor is not of this list", millrace.ErrInvalid)
		}
		log.before = before
	}
	limit := min(max(q.Limit, 1), maxBatch)
	if err := log.open(ctx, s, q.Since, q.Until); err != nil {
		return AuditPage{}, err
	}
	if err := log.fill(ctx, s, limit); err != nil {
		return AuditPage{}, err
	}
	var page AuditPage
	for _, p := range log.found {
		page.Entries = append(page.Entries, p.value)
	}
	if !log.done() {
		page.Next = strconv.FormatUint(log.before, 36)
	}
	return page, nil
}
