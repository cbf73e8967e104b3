package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"millrace/gateway/dashboard"
	"millrace/streams"
)

// A browser that is signed in has a random id in a cookie, which no script can read and
// which no request from elsewhere carries along. Of the id the broker has the SHA-256, and
// which key it stands for, never the key: so every gateway knows the session, who reads
// the bucket cannot pass for it, and when the key ends so does the session. The cookie is
// good for pages alone: the API takes keys.
const (
	sessionCookie   = "millrace-session"
	sessionTime     = 12 * time.Hour
	sessionIDLength = 64
)

func newSessionID() string {
	var id [sessionIDLength / 2]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}

// formToken is what the forms of a session have to bring along. Who has it does not know
// the id.
func formToken(session string) string {
	mac := hmac.New(sha256.New, []byte(session))
	mac.Write([]byte("forms"))
	return hex.EncodeToString(mac.Sum(nil))
}

// welcome lets a request for a page in. Without a session a page is asked for again after
// signing in; then ok is false, and the answer is made.
func (g *Gateway) welcome(c *fiber.Ctx) (v *visitor, ok bool, err error) {
	if v, inside := c.Context().UserValue(asked).(*visitor); inside {
		return v, true, nil
	}
	if g.door.open() {
		v, err := g.door.welcomeNobody(c.Request())
		return v, err == nil, err
	}
	if v, known := g.door.bySession(c.Cookies(sessionCookie)); known {
		return v, true, nil
	}
	if c.Method() == http.MethodGet && c.Path() != "/live" {
		back := string(c.Request().URI().RequestURI())
		c.Set(fiber.HeaderCacheControl, "no-store")
		return nil, false, c.Redirect("/login?back="+url.QueryEscape(ownPath(back)), http.StatusSeeOther)
	}
	return nil, false, notKnown("You are not signed in, or not any more. Open the page again.")
}

// guarded is a handler of pages behind the door.
func (g *Gateway) guarded(method, path string, handle fiber.Handler) fiber.Handler {
	scope := scopeOf(g.door.table, method, path)
	return func(c *fiber.Ctx) error {
		v, ok, err := g.welcome(c)
		if !ok || err != nil {
			return err
		}
		c.Context().SetUserValue(seen, v)
		if err := allowed(v, scope); err != nil {
			if method != http.MethodGet {
				g.door.audit.note(g.base, c, v, "form", http.StatusForbidden)
			}
			return g.page(func(*visit) (dashboard.Page, error) { return dashboard.Page{}, err })(c)
		}
		if err := v.meter.enter(c); err != nil {
			return err
		}
		defer v.meter.leave()
		return handle(c)
	}
}

// seen is where a request for a page has who asks.
const seen = "seen"

// visitor is who asks for the page.
func (v *visit) visitor() *visitor {
	if who, ok := v.http.Context().UserValue(seen).(*visitor); ok {
		return who
	}
	return &visitor{prefix: "-"} // of a page that takes no key
}

func (g *Gateway) loginPage(c *fiber.Ctx) error {
	v := &visit{g: g, http: c}
	if g.door.open() {
		return c.Redirect("/", http.StatusSeeOther)
	}
	return v.send(http.StatusOK, loginForm(v, ownPath(c.Query("back")), ""))
}

func loginForm(v *visit, back, wrong string) dashboard.Page {
	return dashboard.Page{Template: "login", Title: "Sign in", Data: map[string]string{"Back": back, "Wrong": wrong, "Token": v.token()}}
}

// login is POST /login: it takes a key, and begins a session.
func (g *Gateway) login(c *fiber.Ctx) error {
	v := &visit{g: g, http: c}
	if err := v.checkSender(); err != nil {
		return err
	}
	back, from := ownPath(c.FormValue("back")), clientAddress(c)
	if wait := g.door.logins.wait(from, time.Now()); wait > 0 {
		return tooMany("There were too many wrong keys.", wait)
	}
	who, err := g.door.byKey(strings.TrimSpace(c.FormValue("key")))
	if err != nil {
		g.door.logins.failed(from, time.Now())
		return v.send(http.StatusUnauthorized, loginForm(v, back, "This is no key that is good now."))
	}
	id, expires := newSessionID(), time.Now().Add(sessionTime).UTC()
	if err := g.door.keys.Begin(g.base, sessionHash(id), streams.Session{Prefix: who.prefix, ExpiresAt: expires}); err != nil {
		return err
	}
	g.door.refresh(g.base)
	g.door.audit.note(g.base, c, who, "sign-in", http.StatusSeeOther)
	c.Cookie(&fiber.Cookie{
		Name: sessionCookie, Value: id, Path: "/", MaxAge: int(sessionTime.Seconds()), HTTPOnly: true, SameSite: "Strict", Secure: g.cfg.secure(),
	})
	return c.Redirect(back, http.StatusSeeOther)
}

// logout is POST /logout: it ends the session.
func (g *Gateway) logout(c *fiber.Ctx) error {
	id := c.Cookies(sessionCookie)
	if who, known := g.door.bySession(id); known {
		c.Context().SetUserValue(seen, who)
		if err := (&visit{g: g, http: c}).checkSender(); err != nil {
			return err
		}
		if err := g.door.keys.End(g.base, sessionHash(id)); err != nil {
			return err
		}
		g.door.refresh(g.base)
	}
	c.Cookie(&fiber.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HTTPOnly: true, SameSite: "Strict", Secure: g.cfg.secure()})
	return c.Redirect("/login", http.StatusSeeOther)
}

func clientAddress(c *fiber.Ctx) string {
	host, _, err := net.SplitHostPort(c.Context().RemoteAddr().String())
	if err != nil {
		return ""
	}
	return host
}

// logins counts wrong keys: after ten in a minute from one address, or a hundred from
// anywhere, nobody from there is let try until that minute is over.
type logins struct {
	mu    sync.Mutex
	since time.Time
	all   int
	from  map[string]int
}

const (
	loginWindow  = time.Minute
	wrongFromOne = 10
	wrongFromAll = 100
)

// wait is for how long nobody from there may try.
func (l *logins) wait(from string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := loginWindow - now.Sub(l.since)
	if left <= 0 || l.all < wrongFromAll && l.from[from] < wrongFromOne {
		return 0
	}
	return left
}

func (l *logins) failed(from string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= loginWindow {
		l.since, l.all, l.from = now, 0, map[string]int{}
	}
	l.all++
	l.from[from]++ // at most wrongFromAll of them
}
