package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"millrace"
	"millrace/streams"
)

// door decides who may do what. What it knows is in memory, so that to let a request in
// costs a hash and a look into a map; while there are no keys, not even that. It hears of
// keys that are made or revoked at once, and within two seconds if the word is lost.
type door struct {
	keys  *streams.Keys
	log   *slog.Logger
	table map[string]millrace.Scope
	// trusting says that without any key everybody may do everything.
	trusting bool
	// local says that only this machine is trusted, so that requests have to be for it.
	local bool
	given map[string]streams.Key // by the configuration
	audit *auditor

	ring    atomic.Pointer[streams.Ring]
	reading chan struct{} // holds one who reads it
	meters  sync.Map      // of a key, by its prefix
	logins  logins
}

// visitor is who asks.
type visitor struct {
	prefix, name string
	scopes       []millrace.Scope
	session      string // the id that the browser has; empty without one
	meter        *meter // nil: no limit
}

// nobody is the visitor where nobody has to say who they are. The onlooker is who the
// pages are rendered for that many watch.
var (
	nobody   = &visitor{prefix: "loopback", scopes: []millrace.Scope{millrace.ScopeAdmin}}
	onlooker = &visitor{prefix: "onlooker", scopes: []millrace.Scope{millrace.ScopeRead}}
)

// asked is where a request that comes from inside has who asks.
const asked = "asked"

func newDoor(ctx context.Context, store *streams.Store, cfg Config, local bool) (*door, error) {
	d := &door{keys: store.Keys(), log: cfg.Logger, table: access(), reading: make(chan struct{}, 1), given: map[string]streams.Key{}, audit: newAuditor(store, cfg.Logger)}
	for _, key := range cfg.AdminKeys {
		prefix := millrace.KeyPrefix(key)
		if prefix == "" {
			return nil, fmt.Errorf(`gateway: an admin key is no key: it must be "mr_", %d letters and digits, "_" and %d hexadecimal digits`, millrace.KeyPrefixLen, millrace.KeySecretLen)
		}
		d.given[prefix] = streams.Key{Prefix: prefix, Hash: hashOf(key), Name: "configuration", Scopes: []millrace.Scope{millrace.ScopeAdmin}}
	}
	ring, err := d.keys.Ring(ctx)
	if err != nil {
		return nil, fmt.Errorf("gateway: read the keys: %w", err)
	}
	d.ring.Store(ring)
	d.trusting, d.local = local || cfg.Insecure, !cfg.Insecure
	if !d.trusting && len(ring.Keys) == 0 && len(d.given) == 0 {
		return nil, fmt.Errorf("gateway: there are no keys, so anybody who reaches %s could do everything: listen on a loopback address such as 127.0.0.1:8080 and make a key (millrace keys create), "+
			"give an admin key (--admin-key-file), or say --insecure if something else guards it", cfg.Listen)
	}
	return d, nil
}

// watch learns of keys until ctx ends.
func (d *door) watch(ctx context.Context) error {
	return d.keys.Watch(ctx, func() { d.refresh(ctx) })
}

// refresh reads the keys now. One at a time does, so that what was read first is not what
// is known last.
func (d *door) refresh(ctx context.Context) {
	select {
	case d.reading <- struct{}{}:
		defer func() { <-d.reading }()
	case <-ctx.Done():
		return
	}
	if ring, err := d.keys.Ring(ctx); err == nil {
		d.ring.Store(ring)
	}
}

// open reports whether nobody has to say who they are. Once there was a key it never is
// again, whatever becomes of that.
func (d *door) open() bool {
	return d.trusting && len(d.given) == 0 && len(d.ring.Load().Keys) == 0
}

// let lets a request in that takes a scope, or returns a *problem. Call leave with the
// visitor when it is answered.
func (d *door) let(c *fiber.Ctx, scope millrace.Scope) (*visitor, error) {
	if v, ok := c.Context().UserValue(asked).(*visitor); ok {
		return v, allowed(v, scope) // it was counted when it came
	}
	if scope == anyone {
		return nobody, nil
	}
	if d.open() {
		return d.welcomeNobody(&c.Context().Request)
	}
	v, err := d.who(&c.Context().Request)
	if err != nil {
		return nil, err
	}
	if err := allowed(v, scope); err != nil {
		return v, err
	}
	return v, v.meter.enter(c)
}

func (d *door) leave(v *visitor) {
	if v != nil {
		v.meter.leave()
	}
}

func allowed(v *visitor, scope millrace.Scope) error {
	if scope == anyone || scope.Allows(v.scopes) {
		return nil
	}
	p := newProblem(http.StatusForbidden, fmt.Sprintf("This takes a key with the scope %s. Yours has: %s.", scope, joinScopes(v.scopes)))
	p.Type, p.Title = problemType("scope-missing"), "Not allowed"
	return p
}

func joinScopes(scopes []millrace.Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

// who says who has sent a request, or that this is not to be known.
func (d *door) who(req *fasthttp.Request) (*visitor, error) {
	key := string(req.Header.Peek("X-API-Key"))
	if auth := string(req.Header.Peek(fiber.HeaderAuthorization)); auth != "" {
		if scheme, value, _ := strings.Cut(auth, " "); strings.EqualFold(scheme, "Bearer") {
			key = strings.TrimSpace(value)
		}
	}
	if key == "" {
		return nil, notKnown("This takes a key: send it as \"Authorization: Bearer mr_…\". An administrator makes one with millrace keys create.")
	}
	return d.byKey(key)
}

// byKey finds the visitor of a key. What is compared are hashes, in constant time.
func (d *door) byKey(key string) (*visitor, error) {
	prefix := millrace.KeyPrefix(key)
	kept, ok := d.find(prefix)
	if !ok || subtle.ConstantTimeCompare(hashOf(key), kept.Hash) != 1 {
		return nil, notKnown("There is no such key.")
	}
	if !kept.Live(time.Now()) {
		return nil, notKnown("This key has expired or was revoked.")
	}
	return d.visitorOf(kept), nil
}

// hashOf is what is kept of a key.
func hashOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}

func (d *door) find(prefix string) (streams.Key, bool) {
	if key, ok := d.given[prefix]; ok {
		return key, true
	}
	key, ok := d.ring.Load().Keys[prefix]
	return key, ok
}

func (d *door) visitorOf(key streams.Key) *visitor {
	v := &visitor{prefix: key.Prefix, name: key.Name, scopes: key.Scopes}
	if key.Rate > 0 || key.InFlight > 0 {
		m, ok := d.meters.Load(key.Prefix)
		if !ok {
			m, _ = d.meters.LoadOrStore(key.Prefix, &meter{rate: key.Rate, most: key.InFlight})
		}
		v.meter = m.(*meter)
	}
	return v
}

// bySession finds the visitor of the id that a browser has.
func (d *door) bySession(id string) (*visitor, bool) {
	if len(id) != sessionIDLength {
		return nil, false
	}
	s, ok := d.ring.Load().Sessions[sessionHash(id)]
	if !ok || !time.Now().Before(s.ExpiresAt) {
		return nil, false
	}
	key, ok := d.find(s.Prefix)
	if !ok || !key.Live(time.Now()) {
		return nil, false
	}
	v := d.visitorOf(key)
	v.session = id
	return v, true
}

// stays reports whether who was let in would be now. Nil is somebody who needs no leave.
func (d *door) stays(v *visitor) bool {
	switch {
	case v == nil:
		return true
	case v == nobody:
		return d.open()
	case v.session != "":
		_, ok := d.bySession(v.session)
		return ok
	}
	key, ok := d.find(v.prefix)
	return ok && key.Live(time.Now())
}

func sessionHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

func notKnown(detail string) *problem {
	p := newProblem(http.StatusUnauthorized, detail)
	p.Type, p.Title = problemType("key-needed"), "Key needed"
	p.header = http.Header{fiber.HeaderWWWAuthenticate: {`Bearer realm="millrace"`}}
	return p
}

// isLocal reports whether only this machine can reach an address.
func isLocal(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// changes reports whether what takes a scope is to be found in the audit log, if it is
// done by that method.
func changes(scope millrace.Scope, method string) bool {
	return (scope == millrace.ScopeAdmin || scope == millrace.ScopeOperate) && method != http.MethodGet && method != http.MethodHead
}
