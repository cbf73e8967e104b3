package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"millrace"
)

// lineAnswer is what became of a line.
type lineAnswer struct {
	Line     int            `json:"line"`
	Status   int            `json:"status"`
	ID       string         `json:"id,omitempty"`
	State    millrace.State `json:"state,omitempty"`
	NextAt   *time.Time     `json:"next_at,omitempty"`
	Replayed bool           `json:"replayed,omitempty"`
	Existing bool           `json:"existing,omitempty"`
	Replaced bool           `json:"replaced,omitempty"`
	Type     string         `json:"type,omitempty"`
	Error    string         `json:"error,omitempty"`
}

// write adds the answer to a line.
func (t *bulkTask) write(out *bytes.Buffer) {
	a := lineAnswer{Line: t.number, Status: http.StatusAccepted, ID: t.task.ID, State: millrace.Pending, Replayed: t.replayed}
	if t.err != nil {
		a.State = ""
		if !t.own {
			a.ID = "" // nobody knows it
		}
		writeProblem(out, a, t.err)
		return
	}
	if t.due.After(time.Now()) {
		a.State, a.NextAt = millrace.Scheduled, &t.due
	}
	if t.unique.Key != "" {
		a.State, a.NextAt, a.Existing, a.Replaced = t.state, present(t.due), t.existing, t.replaced
		writeLine(out, a)
		return
	}
	if a.Replayed || a.NextAt != nil {
		writeLine(out, a)
		return
	}
	// All but a few are like this: an id has nothing that JSON would escape.
	b := out.AvailableBuffer()
	b = append(b, `{"line":`...)
	b = strconv.AppendInt(b, int64(a.Line), 10)
	b = append(b, `,"status":202,"id":"`...)
	b = append(b, a.ID...)
	b = append(b, "\",\"state\":\"pending\"}\n"...)
	out.Write(b)
}

// writeProblem adds the answer to a line that was not taken.
func writeProblem(out *bytes.Buffer, a lineAnswer, err error) {
	p := problemOf(err)
	a.Status, a.Type, a.Error = p.Status, p.Type, lineMessage(err)
	if a.Status >= http.StatusInternalServerError || a.Error == "" {
		a.Error = p.Detail
	}
	writeLine(out, a)
}

func writeLine(out *bytes.Buffer, a lineAnswer) {
	_ = encodeJSON(out, a) // it has nothing that cannot be encoded
}
