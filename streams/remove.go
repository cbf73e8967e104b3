package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// purge removes what lies on a subject.
func (s *Store) purge(ctx context.Context, stream, subject string) error {
	return s.removeBefore(ctx, stream, subject, 0)
}

// removeBefore removes what lies on a subject before a sequence, zero for all of it.
func (s *Store) removeBefore(ctx context.Context, stream, subject string, sequence uint64) error {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	if _, err := s.purgeUpTo(ctx, stream, subject, sequence); err != nil {
		return fmt.Errorf("%w: remove %s: %w", millrace.ErrUnavailable, subject, err)
	}
	return nil
}

// removeTaken removes what lies on a subject of which somebody may have it under way. To
// purge that would have the server forget others: it counts all that were delivered
// before as acknowledged, so that they would not come again if their worker died
// (nats-server 2.15, consumer.purge with a filter).
func (s *Store) removeTaken(ctx context.Context, stream, subject string) error {
	found, err := s.lastOnLeader(ctx, stream, subject)
	if err != nil || len(found) == 0 {
		return err
	}
	return s.deleteMessage(ctx, stream, found[0].seq)
}

// deleteMessage removes one message, if it is still there. Its subject need not be
// one that is fit for a filter.
func (s *Store) deleteMessage(ctx context.Context, stream string, sequence uint64) error {
	ctx, cancel := s.replies.link.bind(ctx)
	defer cancel()
	st, err := s.js.Stream(ctx, stream)
	if err == nil {
		err = st.DeleteMsg(ctx, sequence)
	}
	if err != nil && !isGone(err) {
		return fmt.Errorf("%w: remove %d from %s: %w", millrace.ErrUnavailable, sequence, stream, err)
	}
	return nil
}

// isGone reports whether there was no message to remove. The server says so in several
// ways, and the client passes on the text.
func isGone(err error) bool {
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true
	}
	return errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && slices.ContainsFunc(
		[]string{"err_code=10043 ", "description=no message found", "description=deleted message"},
		func(sign string) bool { return strings.Contains(err.Error(), sign) })
}

// purgeUpTo removes what a filter matches and lies before a sequence, zero for all of
// it, and returns how much that was.
func (s *Store) purgeUpTo(ctx context.Context, stream, filter string, sequence uint64) (uint64, error) {
	ask, err := encode(struct {
		Filter string `json:"filter"`
		Seq    uint64 `json:"seq,omitzero"`
	}{filter, sequence})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	m, err := s.nc.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+stream, ask)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Purged uint64 `json:"purged"`
		Error  *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := decode(m.Data, &answer); err != nil {
		return 0, err
	}
	if answer.Error != nil {
		return 0, errors.New(answer.Error.Description)
	}
	return answer.Purged, nil
}
