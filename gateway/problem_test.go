package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"millrace"
)

func TestProblemOf(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("task 7: %w", err) }
	own := newProblem(http.StatusForbidden, "Not you.")
	for _, c := range []struct {
		name                       string
		err                        error
		status                     int
		kind, title, detail, again string
	}{
		{"invalid", wrap(millrace.ErrInvalid), 422, "urn:millrace:problem:invalid", "Not valid", "task 7: invalid", ""},
		{"not found", wrap(millrace.ErrNotFound), 404, "urn:millrace:problem:not-found", "Not found", "task 7: not found", ""},
		{"gone", wrap(millrace.ErrGone), 410, "urn:millrace:problem:gone", "No longer kept", "task 7: its record has expired", ""},
		{"conflict", wrap(millrace.ErrConflict), 409, "urn:millrace:problem:conflict", "Conflict", "task 7: conflict", ""},
		{"full", wrap(millrace.ErrQueueFull), 503, "urn:millrace:problem:queue-full", "The queue is full", "The queue has no room. Nothing was stored.", "5"},
		{"no broker", wrap(millrace.ErrUnavailable), 503, "urn:millrace:problem:unavailable", "The broker is not available", "The broker does not answer.", "2"},
		{"late", wrap(context.DeadlineExceeded), 504, "urn:millrace:problem:timeout", "It took too long", "The answer did not come in time. Ask again with the same id or key.", ""},
		{"stopping", wrap(context.Canceled), 503, "urn:millrace:problem:stopping", "The gateway is stopping", "This gateway is stopping. Ask another, or the next one.", "1"},
		{"own", wrap(own), 403, "about:blank", "Forbidden", "Not you.", ""},
		{"huma's", wrap(huma.Error409Conflict("Twice.")), 409, "about:blank", "Conflict", "Twice.", ""},
		{"Fiber's", wrap(fiber.ErrMethodNotAllowed), 405, "about:blank", "Method Not Allowed", "This path does not take that method. The Allow header has those it takes.", ""},
		{"Fiber's, rare", fiber.NewError(http.StatusTeapot, "inside"), 418, "about:blank", "I'm a teapot", "I'm a teapot.", ""},
		{"Fiber's, broken connection", fiber.ErrBadGateway, 400, "about:blank", "Bad Request", "The request is not well-formed HTTP.", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := problemOf(c.err)
			if p.Status != c.status || p.Type != c.kind || p.Title != c.title || p.Detail != c.detail {
				t.Errorf("%d %s, %s: %s", p.Status, p.Type, p.Title, p.Detail)
			}
			if got := p.GetHeaders().Get("Retry-After"); got != c.again {
				t.Errorf("Retry-After is %q", got)
			}
			if p.cause != nil {
				t.Error("it would be logged")
			}
		})
	}
}

func TestWhatNoRuleKnowsIsUnexpected(t *testing.T) {
	for _, err := range []error{errors.New("hush"), fiber.NewError(500, "hush"), huma.Error502BadGateway("hush")} {
		p := problemOf(err)
		if p.Status != http.StatusInternalServerError || !errors.Is(p, err) || strings.Contains(p.Detail, "hush") {
			t.Errorf("%v: %+v", err, p)
		}
	}
}

func TestRetryAfterIsInWholeSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "", time.Millisecond: "1", time.Second: "1", 1001 * time.Millisecond: "2"} {
		p := newProblem(http.StatusTooManyRequests, "Slower.")
		p.retryAfter = d
		p.header = http.Header{"X-Limit": {"7"}}
		if got := p.GetHeaders().Get("Retry-After"); got != want || p.GetHeaders().Get("X-Limit") != "7" {
			t.Errorf("%s: %v", d, p.GetHeaders())
		}
		if len(p.header) != 1 {
			t.Error("the problem itself has changed")
		}
	}
}

func TestHeadersOfAProblemAreSent(t *testing.T) {
	app, a := sampleAPI(t)
	busy := func() error {
		p := newProblem(http.StatusTooManyRequests, "Slower.")
		p.retryAfter = 3 * time.Second
		return p
	}
	registerSample(a, func(context.Context, *sampleInput) (*sampleOutput, error) { return nil, busy() })
	app.Post("/fiber", func(*fiber.Ctx) error { return busy() })
	c := newClient(t, serveApp(t, app))
	for _, path := range []string{"/v1/tasks", "/fiber"} {
		got := c.send(postJSON(path, sampleTask))
		if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "3" || got.problem.Instance != path {
			t.Errorf("%s: %d %v %s", path, got.StatusCode, got.Header, got.body)
		}
	}
}
