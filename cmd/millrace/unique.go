package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// uniqueFlags say of what there is to be one task at a time.
type uniqueFlags struct {
	Unique      *string `help:"What there is to be one task of at a time, as in report:2027-03."`
	UniqueScope *string `help:"For how long it is the only one: until its first run begins (pending) or until it has finished (unfinished, the default)."`
	UniqueFor   *string `help:"For how long it is the only one, whatever becomes of it, as in 10m; instead of --unique-scope."`
	OnConflict  *string `help:"If there is one already: reject, return it, or replace its args, options and time unless it has begun. Default: reject."`
	Debounce    *string `help:"Wait so long, as in 5s, and let each submission with the same --unique meanwhile replace this one and begin the wait anew."`
	Throttle    *string `help:"Be the only one for so long, as in 1m, and answer submissions with the same --unique meanwhile with this one."`
}

// add is the body that asks for a task, with what the flags say. What does not go
// together is for the API to refuse.
func (f *uniqueFlags) add(body []byte) ([]byte, error) {
	unique := map[string]string{}
	for name, text := range map[string]*string{
		"while": f.UniqueScope, "for": f.UniqueFor, "on_conflict": f.OnConflict, "debounce": f.Debounce, "throttle": f.Throttle,
	} {
		if text != nil {
			unique[name] = *text
		}
	}
	if f.Unique == nil {
		if len(unique) > 0 {
			return nil, errors.New("--unique says of what there is to be one task: --unique-scope, --unique-for, --on-conflict, --debounce and --throttle need it")
		}
		return body, nil
	}
	unique["key"] = *f.Unique
	said, err := json.Marshal(unique)
	task := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(body, &task)
	}
	if err == nil {
		task["unique"] = said
		body, err = json.Marshal(task)
	}
	if err != nil {
		return nil, fmt.Errorf("task: %w", err)
	}
	return body, nil
}
