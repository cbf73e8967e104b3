package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// report tells how an import goes: a JSON object a line, or a progress bar (on a
// terminal) and a summary.
type report struct {
	json bool
	out  io.Writer
	bar  io.Writer // nil where nobody would see it
	size int64     // of the file, zero if not known
	what string    // is imported

	mu       sync.Mutex
	accepted int
	refused  []imported
	read     int64
	drawn    time.Time
}

func newReport(asJSON bool, stdio stdio, size int64) *report {
	r := &report{json: asJSON, out: stdio.out, size: size, what: "orders"}
	if f, ok := stdio.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		r.bar = stdio.err
	}
	return r
}

func (r *report) add(l imported, read int64) { r.note(l, l, read) }

// note adds what became of a line, which --json prints as it is said there.
func (r *report) note(l imported, asJSON any, read int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.Error == "" {
		r.accepted++
	} else {
		r.refused = append(r.refused, l)
	}
	r.read = max(r.read, read)
	if r.json {
		data, _ := json.Marshal(asJSON) // strings and numbers always encode
		fmt.Fprintf(r.out, "%s\n", data)
	}
	if r.bar != nil && time.Since(r.drawn) > 50*time.Millisecond {
		r.draw()
	}
}

const barWidth = 30

func (r *report) draw() {
	r.drawn = time.Now()
	counts := fmt.Sprintf("%d accepted, %d refused", r.accepted, len(r.refused))
	if r.size == 0 {
		fmt.Fprintf(r.bar, "\r%s", counts)
		return
	}
	share := min(1, float64(r.read)/float64(r.size))
	full := int(share * barWidth)
	fmt.Fprintf(r.bar, "\r[%s%s] %3.0f%%  %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), 100*share, counts)
}

func (r *report) finish() {
	if r.bar != nil {
		r.draw()
		fmt.Fprintln(r.bar)
	}
	if r.json {
		return
	}
	if len(r.refused) > 0 {
		fmt.Fprintln(r.out, "Refused:")
	}
	for _, l := range r.refused {
		fmt.Fprintf(r.out, "  line %-5d %-10s %s\n", l.Line, shown(l.Reference, 40), shown(l.Error, 1000))
	}
	fmt.Fprintf(r.out, "%d %s accepted, %d lines refused.\n", r.accepted, r.what, len(r.refused))
}

// shown is a text from the file as it may go to a terminal: short, and without
// what a terminal would take for a command.
func shown(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if runes := []rune(s); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return s
}
