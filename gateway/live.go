package gateway

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// live keeps pages as they are on the server. Each page that somebody watches is rendered
// once for all who do, every second while that is cheap, and what changed is written to
// them. However many pages there are, rendering them takes a small share of a core: then
// they are a little older.
type live struct {
	g       *Gateway
	running sync.WaitGroup

	mu      sync.Mutex
	open    int
	pages   map[string]*livePage
	working bool // somebody renders
}

// livePage is a page that is watched.
type livePage struct {
	watchers int
	event    []byte // as it was rendered last
	version  int
	news     chan struct{} // closed, and another made, when there is another version
}

const (
	// liveEvery is how often pages are rendered, and liveShare the part of the time that
	// may be spent on it.
	liveEvery = time.Second
	liveShare = 20
	// watched marks a request for a page that is rendered for those who watch it.
	watched = "watched"
)

func newLive(g *Gateway) *live { return &live{g: g, pages: map[string]*livePage{}} }

// serve is GET /live?page=…: Server-Sent Events, each of them the page as it is now.
func (l *live) serve(c *fiber.Ctx) error {
	uri := string(c.Request().URI().QueryArgs().Peek("page"))
	if ownPath(uri) != uri || strings.HasPrefix(uri, "/live") || strings.HasPrefix(uri, "/v1") {
		return newProblem(http.StatusUnprocessableEntity, "page must be the path of a page of the dashboard.")
	}
	page, ok := l.enter(uri)
	if !ok {
		p := newProblem(http.StatusServiceUnavailable, "As many pages are watched as may be. Come back in a while.")
		p.Type, p.Title, p.retryAfter = problemType("too-many-streams"), "Too many streams", 5*time.Second
		return p
	}
	c.Set(fiber.HeaderContentType, mediaSSE)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set("X-Accel-Buffering", "no")
	x := &exchange{http: c.Context()}
	if !x.takeOver(func(conn net.Conn, who *visitor) {
		defer l.leave(uri, page)
		l.g.serveStream(conn, who, func(s *sseStream) error { return l.follow(s, page) })
	}) {
		l.leave(uri, page)
	}
	return nil
}

func (l *live) enter(uri string) (*livePage, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.g.cfg.MaxStreams || l.g.stopping.Err() != nil {
		return nil, false
	}
	page := l.pages[uri]
	if page == nil {
		page = &livePage{news: make(chan struct{})}
		l.pages[uri] = page
	}
	page.watchers++
	l.open++
	l.running.Add(1)
	if !l.working {
		l.working = true
		l.running.Go(l.work)
	}
	return page, true
}

func (l *live) leave(uri string, page *livePage) {
	l.mu.Lock()
	l.open--
	if page.watchers--; page.watchers == 0 {
		delete(l.pages, uri)
	}
	l.mu.Unlock()
	l.running.Done()
}

// work renders what is watched, until nothing is.
func (l *live) work() {
	for l.g.stopping.Err() == nil {
		start := time.Now()
		l.mu.Lock()
		uris := make([]string, 0, len(l.pages))
		for uri := range l.pages {
			uris = append(uris, uri)
		}
		if len(uris) == 0 {
			l.working = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		for _, uri := range uris {
			if html, ok := l.g.watchedPage(uri); ok && l.g.stopping.Err() == nil {
				l.publish(uri, pageEvent(html))
			}
		}
		select {
		case <-time.After(max(liveEvery, (liveShare-1)*time.Since(start))):
		case <-l.g.stopping.Done():
		}
	}
	l.mu.Lock()
	l.working = false
	l.mu.Unlock()
}

func (l *live) publish(uri string, event []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	page := l.pages[uri]
	if page == nil || bytes.Equal(page.event, event) {
		return
	}
	page.event = event
	page.version++
	close(page.news)
	page.news = make(chan struct{})
}

// pageEvent is a page as a Server-Sent Event.
func pageEvent(html []byte) []byte {
	event := []byte("event: page\n")
	for line := range bytes.Lines(html) {
		event = append(append(append(event, "data: "...), bytes.TrimRight(line, "\r\n")...), '\n')
	}
	return append(event, '\n')
}

// follow writes the page to s whenever it is another, and never returns before the client
// has left or the gateway stops.
func (l *live) follow(s *sseStream, page *livePage) error {
	if err := s.write([]byte("retry: 2000\n\n")); err != nil {
		return err
	}
	for seen := 0; ; {
		l.mu.Lock()
		event, version, news := page.event, page.version, page.news
		l.mu.Unlock()
		var err error
		if version != seen {
			seen, err = version, s.write(event)
		} else {
			err = s.wait(news, heartbeat)
		}
		if err != nil {
			return err
		}
	}
}

// wait waits for the streams to end, after the context has, at most so long.
func (l *live) wait(atMost time.Duration) {
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(atMost):
	}
}

// watchedPage renders a page for those who watch it.
func (g *Gateway) watchedPage(uri string) ([]byte, bool) {
	if _, err := url.Parse(uri); err != nil {
		return nil, false
	}
	var req fasthttp.Request
	req.Header.SetMethod(http.MethodGet)
	req.SetRequestURI(uri)
	req.Header.SetHost("dashboard")
	var x fasthttp.RequestCtx
	x.Init(&req, nil, nil)
	x.SetUserValue(watched, true)
	x.SetUserValue(asked, onlooker)
	g.app.Handler()(&x)
	return bytes.Clone(x.Response.Body()), x.Response.StatusCode() == http.StatusOK
}
