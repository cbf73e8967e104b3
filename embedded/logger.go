package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// levelTrace is for the server's debug lines, some of which come with every connection and request.
const levelTrace = slog.LevelDebug - 4

// serverLog hands the server's log lines to slog, and keeps its fatal error.
//
// The server has no other way to report that it could not start: it calls Fatalf, of which the stock logger ends the process, and
// returns half started. It calls it nowhere else, so Start returns the error and nothing logs it.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
}

func (l *serverLog) Noticef(format string, args ...any) { l.write(slog.LevelDebug, format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.write(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any)  { l.write(slog.LevelError, format, args) }
func (l *serverLog) Debugf(format string, args ...any)  { l.write(levelTrace, format, args) }
func (l *serverLog) Tracef(format string, args ...any)  { l.write(levelTrace, format, args) }

func (l *serverLog) write(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if !l.log.Enabled(ctx, level) {
		return
	}
	// The server indents its lines for the terminal.
	l.log.Log(ctx, level, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// Fatalf keeps the first error, which is the cause of any others.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal != nil {
		return
	}
	fatal := &fatalError{message: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			fatal.cause = err
		}
	}
	l.fatal = fatal
}

func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// fatalError is what the server said, with the cause it formatted into that, so that a caller can still tell the causes apart.
type fatalError struct {
	message string
	cause   error
}

func (e *fatalError) Error() string { return e.message }
func (e *fatalError) Unwrap() error { return e.cause }
