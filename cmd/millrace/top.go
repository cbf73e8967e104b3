package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"
)

type topCmd struct {
	clientFlags
	Every time.Duration `help:"How often to look, 100ms at least." default:"2s"`
	Once  bool          `help:"Look twice, for the rates, and print once."`
}

// glance is what one look at the API shows.
type glance struct {
	At      time.Time         `json:"at"`
	Queues  []toppedQueue     `json:"queues"`
	Workers []json.RawMessage `json:"workers"`
	Dead    []json.RawMessage `json:"dead"` // the newest few
}

// toppedQueue is a queue with its rates, a second.
type toppedQueue struct {
	Name      string     `json:"name"`
	Pending   uint64     `json:"pending"`
	OldestAt  *time.Time `json:"oldest_at,omitempty"`
	InFlight  uint64     `json:"in_flight"`
	Entered   uint64     `json:"entered"`
	Paused    *time.Time `json:"paused,omitempty"`
	Draining  *time.Time `json:"draining,omitempty"`
	HeldUntil *time.Time `json:"held_until,omitempty"`
	In        float64    `json:"in_per_second"`
	Done      float64    `json:"done_per_second"`
}

// left are those that have come in and are neither waiting nor in somebody's hands.
func (q toppedQueue) left() float64 {
	return float64(q.Entered) - float64(q.Pending) - float64(q.InFlight)
}

// deadShown is how many of the dead are shown.
const deadShown = 5

// Run looks until ctx ends. On a terminal it draws over what it has drawn; elsewhere it
// prints one picture after the other.
func (c *topCmd) Run(ctx context.Context, io stdio) error {
	if c.Every < 100*time.Millisecond {
		return fmt.Errorf("--every must be 100ms or more, not %s", c.Every)
	}
	screen := newScreen(io, !c.Once && !c.JSON)
	last, err := c.look(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	screen.open()
	defer screen.close()
	if !c.Once {
		if err := c.draw(screen, last, nil); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.Every):
		}
		now, err := c.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && c.Once {
			return err
		}
		if err != nil { // it may come back
			now = last
		} else {
			now.rate(last)
		}
		if err := c.draw(screen, now, err); err != nil || c.Once {
			return err
		}
		last = now
	}
}

func (c *topCmd) look(ctx context.Context) (g glance, err error) {
	g.At = time.Now().UTC()
	for _, part := range []string{"/v1/queues", "/v1/workers", "/v1/dead?limit=" + strconv.Itoa(deadShown)} {
		answer, err := c.call(ctx, http.MethodGet, part, nil, nil)
		if err != nil {
			return g, err
		}
		listed := struct {
			*glance
			Tasks *[]json.RawMessage `json:"tasks"`
		}{&g, &g.Dead}
		if err := json.Unmarshal(answer, &listed); err != nil {
			return g, fmt.Errorf("the server's answer to %s is not Millrace's: %w", part, err)
		}
	}
	return g, nil
}

// rate says how fast each queue has been since before.
func (g *glance) rate(before glance) {
	since := g.At.Sub(before.At).Seconds()
	for i := range g.Queues {
		q := &g.Queues[i]
		for _, b := range before.Queues {
			// A log that was made anew begins to count anew.
			if b.Name == q.Name && q.Entered >= b.Entered && since > 0 {
				q.In = float64(q.Entered-b.Entered) / since
				q.Done = max(0, q.left()-b.left()) / since
			}
		}
	}
}

func (c *topCmd) draw(s *screen, g glance, trouble error) error {
	if c.JSON {
		if trouble != nil {
			return trouble
		}
		return json.NewEncoder(s.out).Encode(g)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "millrace top  %s  %s\n", c.Server, g.At.Format(time.RFC3339))
	if trouble != nil {
		fmt.Fprintf(&out, "No answer: %s\n", shown(trouble.Error(), 200))
	}
	if err := errors.Join(g.queues(&out), g.workers(&out), g.dead(&out)); err != nil {
		return err
	}
	return s.show(out.String())
}

func (g glance) queues(out *bytes.Buffer) error {
	rows := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(rows, "\nQUEUE\tPENDING\tOLDEST\tIN FLIGHT\tIN/S\tDONE/S\tSTATE")
	for _, q := range g.Queues {
		oldest := "-"
		if q.OldestAt != nil {
			oldest = max(0, g.At.Sub(*q.OldestAt)).Round(time.Second).String()
		}
		state := shownQueue{Paused: q.Paused, Draining: q.Draining, HeldUntil: q.HeldUntil}.state()
		fmt.Fprintf(rows, "%s\t%d\t%s\t%d\t%.1f\t%.1f\t%s\n", q.Name, q.Pending, oldest, q.InFlight, q.In, q.Done, state)
	}
	return rows.Flush()
}

func (g glance) workers(out *bytes.Buffer) error {
	rows := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(rows, "\nWORKER\tBUSY\tMEMORY\tUP\tRUNS")
	for _, one := range g.Workers {
		var w struct {
			Name, ID          string
			Concurrency, Busy int
			StartedAt         time.Time `json:"started_at"`
			MemoryBytes       uint64    `json:"memory_bytes"`
			Running           []struct{ Kind string }
			Quiet, Stopping   bool
		}
		if err := json.Unmarshal(one, &w); err != nil {
			return fmt.Errorf("the server's answer is no list of workers: %w", err)
		}
		runs := ""
		if len(w.Running) > 0 {
			runs = w.Running[0].Kind // what has run for longest
		}
		switch {
		case w.Stopping:
			runs += " (stopping)"
		case w.Quiet:
			runs += " (quiet)"
		}
		up := max(0, g.At.Sub(w.StartedAt)).Round(time.Second)
		fmt.Fprintf(rows, "%s\t%d/%d\t%d MiB\t%s\t%s\n", shown(w.Name, 40), w.Busy, w.Concurrency, w.MemoryBytes>>20, up, strings.TrimSpace(runs))
	}
	if len(g.Workers) == 0 {
		fmt.Fprintln(rows, "No worker runs.")
	}
	return rows.Flush()
}

func (g glance) dead(out *bytes.Buffer) error {
	rows := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(rows, "\nFAILED\tKIND\tQUEUE\tID\tERROR")
	for _, one := range g.Dead {
		var d struct {
			ID, Kind, Queue, Error string
			DiedAt                 time.Time `json:"died_at"`
		}
		if err := json.Unmarshal(one, &d); err != nil {
			return fmt.Errorf("the server's answer is no list of dead tasks: %w", err)
		}
		ago := max(0, g.At.Sub(d.DiedAt)).Round(time.Second)
		fmt.Fprintf(rows, "%s ago\t%s\t%s\t%s\t%s\n", ago, d.Kind, d.Queue, d.ID, shown(d.Error, 80))
	}
	if len(g.Dead) == 0 {
		fmt.Fprintln(rows, "Nothing has failed for good.")
	}
	return rows.Flush()
}

// screen is where pictures are shown: over each other on a terminal, else one below the
// other.
type screen struct {
	out  interface{ Write([]byte) (int, error) }
	fd   int
	live bool
	any  bool
}

func newScreen(io stdio, live bool) *screen {
	s := &screen{out: io.out}
	if f, is := io.out.(*os.File); is && live {
		s.fd, s.live = int(f.Fd()), term.IsTerminal(int(f.Fd()))
	}
	return s
}

// What a terminal takes for commands: another screen without a cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

func (s *screen) open() {
	if s.live {
		fmt.Fprint(s.out, enterScreen)
	}
}

func (s *screen) close() {
	if s.live {
		fmt.Fprint(s.out, leaveScreen)
	}
}

func (s *screen) show(picture string) error {
	if !s.live {
		if s.any {
			picture = "\n" + picture
		}
		s.any = true
		_, err := fmt.Fprint(s.out, picture)
		return err
	}
	width, height, err := term.GetSize(s.fd)
	if err != nil {
		width, height = 80, 24
	}
	_, err = fmt.Fprint(s.out, goHome+fit(picture, width, height)+clearBelow)
	return err
}

// fit is what of a picture a terminal has room for.
func fit(picture string, width, height int) string {
	lines := strings.Split(strings.TrimRight(picture, "\n"), "\n")
	lines = lines[:min(len(lines), max(1, height))]
	for i, line := range lines {
		if runes := []rune(line); len(runes) > width {
			line = string(runes[:max(0, width)])
		}
		lines[i] = line + clearLine
	}
	return strings.Join(lines, "\r\n")
}
