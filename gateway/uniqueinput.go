package gateway

import (
	"context"
	"net/http"
	"time"

	"millrace"
)

// uniqueBody says of what there is to be one task at a time.
type uniqueBody struct {
	Key        string `json:"key" minLength:"1" maxLength:"200" doc:"What there is to be one of, the same for all kinds and queues. 200 bytes at most." example:"report:2027-03"`
	While      string `json:"while,omitempty" enum:"pending,unfinished" doc:"For how long the task has the key: until its first run begins, or until it has finished. Default: unfinished."`
	For        string `json:"for,omitempty" minLength:"1" doc:"Instead of while: for a time from its submission, 1s to 8784h (366 days), whatever becomes of it." example:"10m"`
	OnConflict string `json:"on_conflict,omitempty" enum:"reject,return,replace" doc:"If another task has the key: 409, or the answer is that task, or that task gets args, options and time of this one, unless its first run has begun; then it is 409, or with while=pending a task of its own. Default: reject."`
	Debounce   string `json:"debounce,omitempty" minLength:"1" doc:"Short for: wait so long, and let each submission meanwhile replace the one before and begin the wait anew." example:"5s"`
	Throttle   string `json:"throttle,omitempty" minLength:"1" doc:"Short for: have the key for so long, and answer submissions meanwhile with the first." example:"1m"`
}

// unique is what b asks for, and how long the task is to wait for it. Zero means that it
// is not asked for.
func (b *taskBody) unique() (u millrace.Unique, wait time.Duration, violations []error) {
	if b.Unique == nil {
		return u, 0, nil
	}
	var d durations
	in := b.Unique
	u = millrace.Unique{Key: in.Key, While: millrace.UniqueScope(in.While), OnConflict: millrace.UniqueConflict(in.OnConflict)}
	set := 0
	for _, text := range []string{in.Debounce, in.Throttle, in.While + in.For + in.OnConflict} {
		if text != "" {
			set++
		}
	}
	switch {
	case set > 1:
		d.refuse("body.unique", "debounce, throttle, and the others exclude each other", nil)
	case in.While != "" && in.For != "":
		d.refuse("body.unique", "while and for exclude each other", nil)
	case in.Debounce != "" && (b.Delay != "" || b.RunAt != nil):
		d.refuse("body.unique.debounce", "debounce says when it may run, instead of delay and run_at", in.Debounce)
	case in.Debounce != "":
		wait = time.Duration(d.parse("body.unique.debounce", in.Debounce, time.Second, maxDelay))
		u.While, u.OnConflict = millrace.WhilePending, millrace.UniqueReplace
	case in.Throttle != "":
		u.For = time.Duration(d.parse("body.unique.throttle", in.Throttle, time.Second, millrace.MaxUniqueFor))
		u.While, u.OnConflict = millrace.WhileFor, millrace.UniqueReturn
	case in.For != "":
		u.For = time.Duration(d.parse("body.unique.for", in.For, time.Second, millrace.MaxUniqueFor))
		u.While = millrace.WhileFor
	}
	if len(d.violations) == 0 {
		if err := u.Validate(); err != nil {
			d.refuse("body.unique.key", lineMessage(err), in.Key)
		}
	}
	return u, wait, d.violations
}

// submitUnique submits a task that is to be the only one with its key. One that was
// submitted by this very request before is not in conflict with who has its key since.
func (g *Gateway) submitUnique(ctx context.Context, task millrace.RawTask, due time.Time, u millrace.Unique, again bool) (acceptedTask, error) {
	if again {
		if kept := g.store.Kept(ctx, []millrace.RawTask{task})[0]; kept.Err == nil {
			answer := acceptedTask{ID: task.ID, Kind: task.Kind, Queue: task.Queue, State: millrace.Pending}
			if kept.Due.After(time.Now()) {
				answer.State, answer.NextAt = millrace.Scheduled, &kept.Due
			}
			return answer, nil
		}
	}
	h, err := g.store.SubmitUnique(ctx, task, due, u)
	if err != nil {
		return acceptedTask{}, err
	}
	return acceptedTask{ID: h.ID, Kind: h.Kind, Queue: h.Queue, State: h.State, NextAt: present(h.Due), Existing: h.Existing, Replaced: h.Replaced}, nil
}

// takenKey is for a submission whose unique key another task has.
func takenKey(taken *millrace.TakenError, err error) *problem {
	p := newProblem(http.StatusConflict, clip(lineMessage(err), maxMessage))
	p.Type, p.Title, p.State = problemType("unique-key"), "The unique key is taken", string(taken.State)
	p.header = http.Header{"Location": {"/v1/tasks/" + taken.ID}}
	return p
}
