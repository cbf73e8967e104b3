package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
)

type feedInput struct {
	LastEventID string `header:"Last-Event-ID" pattern:"^[0-9]{1,20}$" doc:"The id of the last event that was seen: the stream goes on behind it. It counts more than after."`
	After       string `query:"after" pattern:"^[0-9]{1,20}$" doc:"The same, for clients that cannot set headers. 0 is the beginning of all."`
}

type orderFeedInput struct {
	ID          string `path:"id" maxLength:"57" pattern:"^[A-Za-z0-9_-]+$"`
	LastEventID string `header:"Last-Event-ID" pattern:"^[0-9]{1,20}$" doc:"The id of the last event that was seen: the stream goes on behind it."`
	After       string `query:"after" pattern:"^[0-9]{1,20}$" doc:"The same, for clients that cannot set headers."`
}

// place is where the client wants to go on.
type place struct {
	after    uint64
	said     bool
	location string // in the request
}

func placeOf(lastEventID, after string) (p place, err error) {
	text := lastEventID
	p.location = "header.Last-Event-ID"
	if text == "" {
		text, p.location = after, "query.after"
	}
	if text == "" {
		return p, nil
	}
	p.said = true
	if p.after, err = strconv.ParseUint(text, 10, 64); err != nil {
		return p, p.beyond()
	}
	return p, nil
}

func (p place) beyond() error {
	return refusedFor(p.location, fmt.Errorf("%w: no event has this id yet", millrace.ErrInvalid))
}

type feedOutput struct {
	ContentType  string `header:"Content-Type"`
	CacheControl string `header:"Cache-Control"`
	Buffering    string `header:"X-Accel-Buffering"`
	Body         func(huma.Context)
}

// streamed takes a place among the open streams, and answers with the one that choose
// returns for where the client wants to go on, and where the feed is now.
func (g *Gateway) streamed(ctx context.Context, lastEventID, after string, choose func(context.Context, place, uint64) (func(*sseStream) error, error)) (*feedOutput, error) {
	p, err := placeOf(lastEventID, after)
	if err != nil {
		return nil, err
	}
	if !g.hub.enter() {
		p := newProblem(http.StatusServiceUnavailable, "As many streams are open as there may be. Come back in a while, or ask another gateway.")
		p.Type, p.Title, p.retryAfter = problemType("too-many-streams"), "Too many streams", 5*time.Second
		return nil, p
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	stream, err := g.prepared(ctx, p, choose)
	if err != nil {
		g.hub.leave()
		return nil, err
	}
	return &feedOutput{ContentType: mediaSSE, CacheControl: "no-store", Buffering: "no", Body: func(hc huma.Context) {
		taken := hc.(interface {
			takeOver(func(net.Conn, *visitor)) bool
		}).takeOver(func(conn net.Conn, who *visitor) {
			defer g.hub.leave()
			g.serveStream(conn, who, stream)
		})
		if !taken {
			g.hub.leave()
		}
	}}, nil
}

func (g *Gateway) prepared(ctx context.Context, p place, choose func(context.Context, place, uint64) (func(*sseStream) error, error)) (func(*sseStream) error, error) {
	now, err := g.hub.position(ctx)
	if err != nil {
		return nil, err
	}
	if err := g.checkPlace(ctx, p, now); err != nil {
		return nil, err
	}
	return choose(ctx, p, now)
}

// serveStream runs in a goroutine of its own, where a panic would end the process.
func (g *Gateway) serveStream(conn net.Conn, who *visitor, stream func(*sseStream) error) {
	defer func() {
		if value := recover(); value != nil {
			g.cfg.Logger.Error("a stream panicked", "panic", value, "stack", string(debug.Stack()))
		}
	}()
	// Whoever takes nothing any more must not hold up the stop.
	defer context.AfterFunc(g.stopping, func() { _ = conn.SetWriteDeadline(time.Now().Add(time.Second)) })()
	_ = stream(newSSEStream(g.stopping, conn, func() bool { return g.door.stays(who) })) // it ends when the client has left or the gateway stops
}

// followOrders answers with the events of all orders.
func (g *Gateway) followOrders(ctx context.Context, in *feedInput) (*feedOutput, error) {
	return g.streamed(ctx, in.LastEventID, in.After, func(_ context.Context, p place, now uint64) (func(*sseStream) error, error) {
		if !p.said {
			p.after = now
		}
		return func(s *sseStream) error { return g.hub.follow(s, p.after) }, nil
	})
}

// followOrder answers with the events of one order.
func (g *Gateway) followOrder(ctx context.Context, in *orderFeedInput) (*feedOutput, error) {
	return g.streamed(ctx, in.LastEventID, in.After, func(ctx context.Context, p place, _ uint64) (func(*sseStream) error, error) {
		_, _, err := g.orders.Get(ctx, in.ID)
		return func(s *sseStream) error { return g.hub.followOne(s, in.ID, p.after) }, err
	})
}

// checkPlace refuses an id that no event can have yet. (Another gateway, where the
// client was before, may be a little ahead of this one, which is at now.)
func (g *Gateway) checkPlace(ctx context.Context, p place, now uint64) error {
	if p.after <= now {
		return nil
	}
	last, err := g.store.Ledger().LastSequence(ctx)
	if err == nil && p.after > last {
		return p.beyond()
	}
	return err
}

// feedResponse describes the stream: OpenAPI has no words for what is in it.
func feedResponse() map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: "Server-Sent Events, for as long as both sides want. Each has as id its place in the feed, as event the word order, and as data the event's JSON.",
		Content: map[string]*huma.MediaType{mediaSSE: {
			Schema:  &huma.Schema{Type: huma.TypeString},
			Example: "id: 4711\nevent: order\ndata: {\"order_id\":\"…\"}\n\n",
		}},
	}}
}
