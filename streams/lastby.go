package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// stored is a message as it lies in a stream.
type stored struct {
	subject string
	seq     uint64
	time    time.Time
	data    []byte
}

// lastBy returns the last message of each subject that matches one of filters,
// in one request (a direct get of several, ADR-31 of the NATS architecture
// records). Nothing found is no error. At most maxBatch messages come back.
//
// With replicas any of them may answer, so what was written a moment ago can be
// missing; a write that expects a revision finds out.
func (s *Store) lastBy(ctx context.Context, stream string, filters ...string) ([]stored, error) {
	body, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
	}{filters})
	if err != nil {
		return nil, fmt.Errorf("look up in %s: %w", stream, err)
	}
	c, err := s.replies.send(&nats.Msg{Subject: "$JS.API.DIRECT.GET." + stream, Data: body}, maxBatch+1)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var found []stored
	for {
		m, err := c.answer(ctx)
		if err != nil {
			return nil, fmt.Errorf("look up in %s: %w", stream, err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			st, err := parseStored(m)
			if err != nil {
				return nil, fmt.Errorf("look up in %s: %w", stream, err)
			}
			found = append(found, st)
		case "204", "404": // the end; nothing there
			return found, nil
		default:
			return nil, fmt.Errorf("%w: look up in %s: %s %s", millrace.ErrUnavailable, stream, status, m.Header.Get("Description"))
		}
	}
}

func parseStored(m *nats.Msg) (stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return stored{}, fmt.Errorf("time stamp: %w", err)
	}
	return stored{m.Header.Get("Nats-Subject"), seq, at, m.Data}, nil
}
