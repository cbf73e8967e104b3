package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace"
	"millrace/scheduler"
)

// schedulesKey is the one key of the configuration file that is no flag.
const schedulesKey = "schedules"

// declaration is what the configuration file says of schedules, as it was read:
//
//	schedules:
//	  nightly:
//	    kind: report.daily
//	    cron: "0 3 * * *"
//	    zone: Europe/Berlin
type declaration struct {
	path string // empty: there is no file
	raw  any
}

// schedules are those that are declared. Each is checked before anything is opened.
func (d declaration) schedules() ([]millrace.Schedule, error) {
	if d.raw == nil {
		return nil, nil
	}
	byName, ok := d.raw.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("configuration %s: schedules must be a map of their names, as in \"schedules: {nightly: {kind: report.daily, cron: '0 3 * * *'}}\"", d.path)
	}
	var all []millrace.Schedule
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s, err := declaredSchedule(name, byName[name])
		if err != nil {
			return nil, fmt.Errorf("configuration %s: schedule %s: %w", d.path, name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// declaredSchedule reads one: its fields are those of the API.
func declaredSchedule(name string, value any) (s millrace.Schedule, err error) {
	fields, ok := value.(map[string]any)
	if !ok {
		return s, errors.New("it must have fields, such as kind and cron")
	}
	if _, named := fields["name"]; named {
		return s, errors.New("its name is its key: leave out the field name")
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return s, fmt.Errorf("it is not what JSON can say: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	s.Name = name
	if s, err = s.Canonical(); err != nil {
		return s, err
	}
	_, err = scheduler.Parse(s)
	return s, err
}

// reconcile makes the book say what the file does. A process without a file says nothing
// about schedules.
func (d declaration) reconcile(ctx context.Context, book *scheduler.Book, schedules []millrace.Schedule) error {
	if d.path == "" {
		return nil
	}
	if err := book.Reconcile(ctx, schedules); err != nil {
		return fmt.Errorf("configuration %s: %w", d.path, err)
	}
	return nil
}
