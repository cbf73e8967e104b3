package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"millrace"
)

// A turn is for processes that would only get into each other's way: of several that
// change the same entries one is successful, and the others have worked for nothing.
// Who wants the turn draws a ticket, a message, and has it when that is the first that
// is there; then it takes the ticket away, and tells the others.
//
// Nothing depends on it. Tickets are kept in memory, and go by themselves after
// maxTurn: so whoever dies with the turn holds up the others for that long.
const (
	maxTurn  = 2 * time.Second
	turnLook = 25 * time.Millisecond // when nothing is heard
)

// TakeTurn waits until it is this process's turn at changing the ledger, and returns
// what ends that. It gives up when ctx ends, or the broker does not answer.
func (l Ledger) TakeTurn(ctx context.Context) (end func(), err error) {
	s := l.store
	heard := make(chan *nats.Msg, 64)
	sub, err := s.nc.ChanSubscribe(turnOver, heard)
	if err != nil {
		return nil, fmt.Errorf("%w: turn: %w", millrace.ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails when the connection is closed already
	ticket := newMessage(turnPrefix+nuid.Next(), nil, 0)
	expireAfter(ticket, maxTurn)
	call, err := s.replies.send(ticket, 1)
	if err != nil {
		return nil, err
	}
	mine, err := call.stored(ctx)
	if err != nil {
		// A server forgets what it keeps in memory.
		return nil, errors.Join(err, ensureStream(ctx, s.js, s.cfg.turns(), false))
	}
	end = func() { l.endTurn(mine) }
	tick := time.NewTicker(turnLook)
	defer tick.Stop()
	for {
		first, _, err := s.getDirect(ctx, turnStream, 1, directGet{NextBy: turnPrefix + ">", Batch: 1, Seq: 1})
		if err != nil {
			end()
			return nil, err
		}
		if len(first) == 0 || first[0].seq >= mine {
			return end, nil
		}
		select {
		case <-heard:
		case <-tick.C:
		case <-ctx.Done():
			end()
			return nil, fmt.Errorf("%w: turn: %w", millrace.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// endTurn takes a ticket away and tells the others. If it fails, the ticket goes by
// itself.
func (l Ledger) endTurn(ticket uint64) {
	body, err := json.Marshal(struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}{ticket, true})
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), maxTurn)
		defer cancel()
		_, err = l.store.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+turnStream, body)
	}
	if err = errors.Join(err, l.store.nc.Publish(turnOver, strconv.AppendUint(nil, ticket, 10))); err != nil {
		l.store.log.Debug("a turn is not given back; it ends by itself", "error", err)
	}
}
