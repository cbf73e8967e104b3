package streams

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// codeNoMessage is what the server says when nothing lies on a subject.
const codeNoMessage = 10037

// lastOnLeader is lastBy by the stream's leader, which does not lag behind as one of
// its replicas may, for who must not take what is not there yet for what is gone. It
// asks for each filter on its own, and tells only the last message that matches it.
func (s *Store) lastOnLeader(ctx context.Context, stream string, filters ...string) ([]stored, error) {
	var found []stored
	for _, filter := range filters {
		st, err := s.getOnLeader(ctx, stream, filter)
		if err != nil {
			return nil, fmt.Errorf("look up %s in %s: %w", filter, stream, err)
		}
		if st.seq > 0 {
			found = append(found, st)
		}
	}
	return found, nil
}

// getOnLeader returns the last message that matches a filter, or none at all.
func (s *Store) getOnLeader(ctx context.Context, stream, filter string) (stored, error) {
	ask, err := encode(struct {
		LastFor string `json:"last_by_subj"`
	}{filter})
	if err != nil {
		return stored{}, err
	}
	c, err := s.replies.send(&nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + stream, Data: ask}, 1)
	if err != nil {
		return stored{}, err
	}
	defer c.close()
	m, err := c.answer(ctx)
	if err != nil {
		return stored{}, err
	}
	var got struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Headers []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
		Error struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	switch err := decode(m.Data, &got); {
	case err != nil:
		return stored{}, fmt.Errorf("%w: unreadable answer: %w", millrace.ErrUnavailable, err)
	case got.Error.Code == codeNoMessage:
		return stored{}, nil
	case got.Error.Code != 0:
		return stored{}, fmt.Errorf("%w: %s", millrace.ErrUnavailable, got.Error.Description)
	}
	st := stored{subject: got.Message.Subject, seq: got.Message.Seq, time: got.Message.Time, data: got.Message.Data}
	if len(got.Message.Headers) > 0 {
		header, err := nats.DecodeHeadersMsg(got.Message.Headers)
		if err != nil {
			return stored{}, fmt.Errorf("%w: unreadable answer: %w", millrace.ErrUnavailable, err)
		}
		st.by = header.Get(deliveryHeader)
	}
	return st, nil
}
