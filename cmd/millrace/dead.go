package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type deadCmd struct {
	List    deadListCmd    `cmd:"" help:"Search the tasks that failed for good, the one first that died last."`
	Show    deadShowCmd    `cmd:"" help:"Show a dead task with its args, its attempts and their stacks."`
	Redrive deadRedriveCmd `cmd:"" help:"Bring dead tasks back: those named, or all that match. Exits 1 if any cannot be."`
	Discard deadDiscardCmd `cmd:"" help:"Remove dead tasks for good: those named, or all that match, if these are as many as --confirm says."`
}

// deadFlags say which dead tasks are meant.
type deadFlags struct {
	Queue string `name:"in-queue" help:"Only those of this queue."`
	Kind  string `help:"Only those of this kind."`
	Error string `help:"Only those with this in their error's text, whatever the case."`
	Since moment `help:"Only those that died then or later: a time such as 2027-03-28T09:00:00+02:00, or how long ago, as in 2h." placeholder:"TIME"`
	Until moment `help:"Only those that died before." placeholder:"TIME"`
}

// filter is what the flags say, by the API's names.
func (f *deadFlags) filter() map[string]string {
	all := map[string]string{"queue": f.Queue, "kind": f.Kind, "error": f.Error, "since": string(f.Since), "until": string(f.Until)}
	for name, value := range all {
		if value == "" {
			delete(all, name)
		}
	}
	return all
}

// chosenFlags are for verbs that are about some tasks, or all that match.
type chosenFlags struct {
	IDs []string `arg:"" optional:"" name:"id" help:"The tasks' ids."`
	deadFlags
	All bool `help:"All there are."`
}

// chosen is the body that says which tasks are meant; nil if their ids do.
func (f *chosenFlags) chosen() (map[string]any, error) {
	filter := f.filter()
	switch named := len(f.IDs) > 0; {
	case named && (len(filter) > 0 || f.All):
		return nil, errors.New("name tasks by their ids, or say what they have in common, but not both")
	case named:
		return nil, nil
	case len(filter) == 0 && !f.All:
		return nil, errors.New("say which: by their ids, or by --in-queue, --kind, --error, --since and --until; or --all")
	case len(filter) > 0 && f.All:
		return nil, errors.New("--all means all there are: leave it out, or leave out the others")
	}
	body := map[string]any{}
	for name, value := range filter {
		body[name] = value
	}
	if f.All {
		body["all"] = true
	}
	return body, nil
}

type deadListCmd struct {
	clientFlags
	deadFlags
	pageFlags
}

// listedDead is what the table shows of a dead task.
type listedDead struct {
	ID, Kind, Queue, Error string
	Tried, Redrives        int
	DiedAt                 time.Time `json:"died_at"`
}

// Run lists page by page.
func (c *deadListCmd) Run(ctx context.Context, io stdio) error {
	query := url.Values{}
	for name, value := range c.filter() {
		query.Set(name, value)
	}
	list := newTable(io.out, c.JSON, "ID", "KIND", "QUEUE", "TRIED", "REDRIVEN", "DIED", "ERROR")
	err := c.pages(ctx, io, "/v1/dead", "tasks", query, c.pageFlags, func(one json.RawMessage) error {
		var d listedDead
		if err := json.Unmarshal(one, &d); err != nil {
			return fmt.Errorf("the server's answer is no list of dead tasks: %w", err)
		}
		return list.add(one, d.ID, d.Kind, d.Queue, strconv.Itoa(d.Tried), strconv.Itoa(d.Redrives), shownTime(&d.DiedAt), shown(d.Error, 60))
	})
	if err != nil {
		return err
	}
	return list.end("No such task is dead.")
}

type deadShowCmd struct {
	clientFlags
	ID string `arg:"" help:"The task's id."`
}

// Run prints the dead task.
func (c *deadShowCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodGet, deadPath(c.ID), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

func deadPath(id string) string { return "/v1/dead/" + url.PathEscape(id) }
