package embedded_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"millrace/embedded"
)

// onLine returns a logger that calls do, once, in the middle of the server's writing a line with the given text.
func onLine(text string, do func()) *slog.Logger {
	return slog.New(&lineHandler{text: text, do: sync.OnceFunc(do)})
}

type lineHandler struct {
	text string
	do   func()
}

func (h *lineHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *lineHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *lineHandler) WithGroup(string) slog.Handler            { return h }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.text) {
		h.do()
	}
	return nil
}

func TestLogger(t *testing.T) {
	for _, test := range []struct {
		level     slog.Level
		want, not string
	}{
		{slog.LevelInfo, `level=INFO msg="embedded server ready"`, "component=nats-server"},
		{slog.LevelDebug, `level=DEBUG msg="Server is ready" component=nats-server`, "level=DEBUG-4"},
		{slog.LevelDebug - 4, "level=DEBUG-4 msg=", "level=WARN"},
	} {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: test.level}))
		start(t, embedded.Config{DataDir: t.TempDir(), Logger: logger}).Shutdown()
		if got := log.String(); !strings.Contains(got, test.want) || strings.Contains(got, test.not) {
			t.Errorf("at level %v: want %q, not %q, in\n%s", test.level, test.want, test.not, got)
		}
	}
}

func TestExposedHostIsWarnedAbout(t *testing.T) {
	for host, want := range map[string]bool{"": false, "localhost": false, "127.0.0.2": false, "0.0.0.0": true} {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		start(t, embedded.Config{DataDir: t.TempDir(), Host: host, Logger: logger}).Shutdown()
		if got := strings.Contains(log.String(), "no authentication"); got != want {
			t.Errorf("host %q: warned %v, want %v:\n%s", host, got, want, log.String())
		}
	}
}
