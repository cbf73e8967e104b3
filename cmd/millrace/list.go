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
	State string `help:"Only those in this state: scheduled, running, retrying, succeeded, failed or cancelled."`
	Kind  string `help:"Only those of this kind."`
	Queue string `name:"in-queue" help:"Only those of this queue."`
	pageFlags
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
	for name, value := range map[string]string{"state": c.State, "kind": c.Kind, "queue": c.Queue} {
		if value != "" {
			query.Set(name, value)
		}
	}
	list := newTable(io.out, c.JSON, "ID", "STATE", "KIND", "QUEUE", "TRIED", "SUBMITTED", "NEXT", "ERROR")
	err := c.pages(ctx, io, "/v1/tasks", "tasks", "cursor", query, c.pageFlags, func(one json.RawMessage) error {
		var t listedTask
		if err := json.Unmarshal(one, &t); err != nil {
			return fmt.Errorf("the server's answer is no list of tasks: %w", err)
		}
		return list.add(one, t.ID, t.State, t.Kind, t.Queue, strconv.Itoa(t.Tried), shownTime(&t.SubmittedAt), shownTime(t.NextAt), shown(t.Error, 60))
	})
	if err != nil {
		return err
	}
	return list.end("No such task has a record. One that waits for a worker, or is in its first run, has none yet.")
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
