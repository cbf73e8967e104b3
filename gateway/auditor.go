package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"millrace/streams"
)

// auditor writes down who did what, before it is answered. Of what a key is refused over
// and over there is one entry a minute.
type auditor struct {
	store *streams.Store
	log   *slog.Logger

	mu      sync.Mutex
	refused map[string]time.Time // when, by who and what
}

// refusedEvery is how often it is written down that the same was refused to the same key,
// and maxRefused of how many that is known; of more, it is not written down at all.
const (
	refusedEvery = time.Minute
	maxRefused   = 1000
	auditTime    = 5 * time.Second
)

func newAuditor(store *streams.Store, log *slog.Logger) *auditor {
	return &auditor{store: store, log: log, refused: map[string]time.Time{}}
}

// note writes down what v has done, or was refused. A nil v is one whom nobody knows, of
// which there is no entry: everybody could fill the log with them.
func (a *auditor) note(ctx context.Context, c *fiber.Ctx, v *visitor, action string, status int) {
	if v == nil || (status == http.StatusForbidden || status == http.StatusTooManyRequests) && !a.first(v.prefix+" "+action) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
	defer cancel()
	e := streams.AuditEntry{
		At: time.Now().UTC(), Who: v.prefix, Name: v.name, Action: action, On: string(c.Request().URI().PathOriginal()), Status: status,
	}
	if from, ok := c.Context().UserValue(cameFrom).(string); ok {
		e.From = from
	} else if host, _, err := net.SplitHostPort(c.Context().RemoteAddr().String()); err == nil {
		e.From = host
	}
	if err := a.store.Audit(ctx, e); err != nil {
		a.log.Error("it could not be written down who did what", "who", e.Who, "action", e.Action, "status", e.Status, "error", err)
	}
}

// cameFrom is where a request that comes from inside has the address of who asks.
const cameFrom = "came-from"

func (a *auditor) first(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	for known, at := range a.refused {
		if now.Sub(at) >= refusedEvery {
			delete(a.refused, known)
		}
	}
	if _, known := a.refused[what]; known || len(a.refused) >= maxRefused {
		return false
	}
	a.refused[what] = now
	return true
}
