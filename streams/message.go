package streams

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"

	"millrace"
)

// anyRevision writes whatever is there.
const anyRevision = ^uint64(0)

// newMessage makes a message that is stored only if the last one on its subject
// has that revision: zero for none.
func newMessage(subject string, data []byte, revision uint64) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	if revision != anyRevision {
		m.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(revision, 10))
	}
	return m
}

// expectRevisionOf lets the revision that a message expects be that of the last one
// that matches a filter.
func expectRevisionOf(m *nats.Msg, filter string) {
	if m.Header.Get("Nats-Expected-Last-Subject-Sequence") != "" {
		m.Header.Set("Nats-Expected-Last-Subject-Sequence-Subject", filter)
	}
}

// expireAfter lets the server remove m after d, rounded up to whole seconds,
// which is what it counts in.
func expireAfter(m *nats.Msg, d time.Duration) {
	seconds := max(1, int64((d+time.Second-1)/time.Second))
	m.Header.Set("Nats-TTL", strconv.FormatInt(seconds, 10)+"s")
}

// expireNever lets the server keep m, however old other messages of the stream get.
func expireNever(m *nats.Msg) { m.Header.Set("Nats-TTL", "never") }

// lenient is for JSON that is kept. Args, results and error messages are other
// people's: a name that one of them has twice, or a byte that is not UTF-8, must
// not cost the record of what was done. Nor is the spelling of strings changed.
var lenient = json.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	jsontext.PreserveRawStrings(true),
)

// encode is v as JSON, in one line.
func encode(v any) ([]byte, error) {
	switch w := v.(type) { // args that are empty are none
	case millrace.RawTask:
		if len(w.Args) == 0 {
			w.Args = nil
			v = w
		}
	case held:
		if len(w.Task.Args) == 0 {
			w.Task.Args = nil
			v = w
		}
	case waiting:
		if len(w.Task.Args) == 0 {
			w.Task.Args = nil
			v = w
		}
	}
	return json.Marshal(v, lenient)
}

// decode reads what encode wrote, here or in another version: members that v does
// not have are left out.
func decode(data []byte, v any) error { return json.Unmarshal(data, v, lenient) }
