package streams

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
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

// expireAfter lets the server remove m after d, rounded up to whole seconds,
// which is what it counts in.
func expireAfter(m *nats.Msg, d time.Duration) {
	seconds := max(1, int64((d+time.Second-1)/time.Second))
	m.Header.Set("Nats-TTL", strconv.FormatInt(seconds, 10)+"s")
}

// encode is v as JSON. Unlike json.Marshal it leaves "<", ">" and "&" as they are,
// which is what people wrote, and a sixth of the size.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
