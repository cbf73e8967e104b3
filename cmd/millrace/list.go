package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type taskListCmd struct {
	clientFlags
	State  string `help:"Only those in this state: pending, scheduled, running, retrying, succeeded, failed or cancelled."`
	Queue  string `name:"in-queue" help:"Only those of this queue."`
	Kind   string `help:"Only those of this kind."`
	Tag    string `help:"Only those with this tag."`
	Error  string `help:"Only those with this in their error's text, whatever the case."`
	Search string `help:"Only those with this in their id, kind, tags, error, args or result, whatever the case." placeholder:"TEXT"`
	Since  moment `help:"Only those that last changed then or later: a time such as 2027-03-28T09:00:00+02:00, or how long ago, as in 2h." placeholder:"TIME"`
	Until  moment `help:"Only those that last changed before." placeholder:"TIME"`
	pageFlags
}

// moment is a time, as it is said or as how long ago it was.
type moment string

func (m *moment) UnmarshalText(text []byte) error {
	if ago, err := time.ParseDuration(string(text)); err == nil {
		*m = moment(time.Now().Add(-ago).UTC().Format(time.RFC3339))
		return nil
	}
	if _, err := time.Parse(time.RFC3339, string(text)); err != nil {
		return fmt.Errorf("%q is neither a time such as 2027-03-28T09:00:00+02:00 nor how long ago, as in 2h", text)
	}
	*m = moment(text)
	return nil
}

// listedTask is what the table shows of a task.
type listedTask struct {
	ID, State, Kind, Queue, Error string
	Tried                         int
	SubmittedAt                   time.Time  `json:"submitted_at"`
	NextAt                        *time.Time `json:"next_at"`
}

// Run lists page by page.
func (c *taskListCmd) Run(ctx context.Context, io stdio) error {
	query := url.Values{}
	for name, value := range map[string]string{
		"state": c.State, "queue": c.Queue, "kind": c.Kind, "tag": c.Tag, "error": c.Error, "q": c.Search,
		"since": string(c.Since), "until": string(c.Until),
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	list := newTable(io.out, c.JSON, "ID", "STATE", "KIND", "QUEUE", "TRIED", "SUBMITTED", "NEXT", "ERROR")
	err := c.pages(ctx, io, "/v1/tasks", "tasks", query, c.pageFlags, func(one json.RawMessage) error {
		var t listedTask
		if err := json.Unmarshal(one, &t); err != nil {
			return fmt.Errorf("the server's answer is no list of tasks: %w", err)
		}
		return list.add(one, t.ID, t.State, t.Kind, t.Queue, strconv.Itoa(t.Tried), shownTime(&t.SubmittedAt), shownTime(t.NextAt), shown(t.Error, 60))
	})
	if err != nil {
		return err
	}
	return list.end("There is no such task. A finished one is found for as long as its record is kept.")
}

// table is a list as it is printed: in columns, or with --json an object a line.
type table struct {
	json  bool
	out   io.Writer
	rows  *tabwriter.Writer
	heads []string
	any   bool
}

func newTable(out io.Writer, asJSON bool, heads ...string) *table {
	return &table{json: asJSON, out: out, rows: tabwriter.NewWriter(out, 0, 8, 2, ' ', 0), heads: heads}
}

func (t *table) add(object json.RawMessage, cells ...string) error {
	if t.json {
		return clientFlags{JSON: true}.show(t.out, object)
	}
	if !t.any {
		t.row(t.heads)
	}
	t.any = true
	t.row(cells)
	return nil
}

// row leaves out the cells at the end that are empty.
func (t *table) row(cells []string) {
	fmt.Fprintln(t.rows, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

// end prints what is left, or says that there was nothing.
func (t *table) end(nothing string) error {
	if !t.any && !t.json {
		_, err := fmt.Fprintln(t.out, nothing)
		return err
	}
	return t.rows.Flush()
}

// shownTime is empty for no time.
func shownTime(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
