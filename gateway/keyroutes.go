package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
	"millrace/streams"
)

// keyRoutes is the API of keys, and of what was done with them.
func (g *Gateway) keyRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: []string{"keys"},
		Summary:     "List keys",
		Description: "Also those that have expired or were revoked. The keys themselves are nowhere.",
		Errors:      []int{503},
	}, g.listKeys)
	register(a, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", DefaultStatus: http.StatusCreated, Tags: []string{"keys"},
		Summary:     "Make a key",
		Description: "The answer has the key, this once: only its SHA-256 is kept. Two keys of a name can be live, so that one replaces another: make the new one, give it to whoever uses it, and revoke the old one. With the first key that is made, all requests take one.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.createKey)
	register(a, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{prefix}", DefaultStatus: http.StatusOK, Tags: []string{"keys"},
		Summary:     "Revoke a key",
		Description: "Every gateway refuses it within two seconds, and ends the sessions that were begun with it. To revoke it again changes nothing.",
		Errors:      []int{404, 422, 503},
	}, g.revokeKey)
	register(a, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: []string{"keys"},
		Summary:     "Look at who did what",
		Description: "Whatever takes the scope operate or admin and changes something is here for 90 days, the newest first, also what was refused for want of a scope.",
		Errors:      []int{422, 503},
	}, g.listAudit)
}

// keyView is a key as it is shown.
type keyView struct {
	Prefix    string           `json:"prefix" doc:"The part of the key that is no secret."`
	Name      string           `json:"name"`
	Scopes    []millrace.Scope `json:"scopes"`
	Live      bool             `json:"live"`
	Rate      int              `json:"rate,omitempty" doc:"How many requests a second it allows, of each gateway."`
	InFlight  int              `json:"in_flight,omitempty" doc:"How many requests at once it allows, of each gateway."`
	CreatedAt time.Time        `json:"created_at"`
	ExpiresAt *time.Time       `json:"expires_at,omitempty"`
	RevokedAt *time.Time       `json:"revoked_at,omitempty"`
}

func viewOfKey(k streams.Key) keyView {
	return keyView{
		Prefix: k.Prefix, Name: k.Name, Scopes: k.Scopes, Live: k.Live(time.Now()), Rate: k.Rate, InFlight: k.InFlight,
		CreatedAt: k.CreatedAt, ExpiresAt: present(k.ExpiresAt), RevokedAt: present(k.RevokedAt),
	}
}

type listKeysOutput struct {
	Body struct {
		Keys []keyView `json:"keys"`
	}
}

func (g *Gateway) listKeys(ctx context.Context, _ *struct{}) (*listKeysOutput, error) {
	ring, err := g.door.keys.Ring(ctx)
	if err != nil {
		return nil, err
	}
	out := &listKeysOutput{}
	out.Body.Keys = make([]keyView, 0, len(ring.Keys))
	for _, k := range ring.Keys {
		out.Body.Keys = append(out.Body.Keys, viewOfKey(k))
	}
	slices.SortFunc(out.Body.Keys, func(a, b keyView) int {
		if by := strings.Compare(a.Name, b.Name); by != 0 {
			return by
		}
		return a.CreatedAt.Compare(b.CreatedAt)
	})
	return out, nil
}

type createKeyInput struct {
	Body struct {
		Name      string           `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.@-]+$" doc:"Whose it is, as in shop-web." example:"shop-web"`
		Scopes    []millrace.Scope `json:"scopes" minItems:"1" maxItems:"4" enum:"submit,read,operate,admin" doc:"What it allows; admin is everything."`
		ExpiresIn string           `json:"expires_in,omitempty" doc:"After how long it expires, as in 2160h; it does not without." example:"2160h"`
		Rate      int              `json:"rate,omitempty" minimum:"0" maximum:"1000000" doc:"How many requests a second it allows, of each gateway; 0 is any number."`
		InFlight  int              `json:"in_flight,omitempty" minimum:"0" maximum:"1000000" doc:"How many requests at once it allows, of each gateway; 0 is any number."`
	}
}

type createKeyOutput struct {
	Body struct {
		Key string `json:"key" doc:"The key. It is not shown again."`
		keyView
	}
}

func (g *Gateway) createKey(ctx context.Context, in *createKeyInput) (*createKeyOutput, error) {
	if err := millrace.ValidateScopes(in.Body.Scopes); err != nil {
		return nil, refusedFor("body.scopes", err)
	}
	k := streams.Key{Name: in.Body.Name, Scopes: in.Body.Scopes, Rate: in.Body.Rate, InFlight: in.Body.InFlight, CreatedAt: time.Now().UTC()}
	if in.Body.ExpiresIn != "" {
		d, err := time.ParseDuration(in.Body.ExpiresIn)
		if err != nil || d < time.Second {
			return nil, refusedFor("body.expires_in", errors.New("must be a time from 1s, as in 2160h"))
		}
		k.ExpiresAt = k.CreatedAt.Add(d)
	}
	var key string
	key, k.Prefix = newKey()
	k.Hash = hashOf(key)
	if err := g.door.keys.Add(ctx, k); err != nil {
		return nil, err
	}
	g.door.refresh(ctx)
	out := &createKeyOutput{}
	out.Body.Key, out.Body.keyView = key, viewOfKey(k)
	return out, nil
}

// newKey makes a key of 256 random bits, and the prefix that tells it from others.
func newKey() (key, prefix string) {
	var secret [millrace.KeySecretLen / 2]byte
	_, _ = rand.Read(secret[:]) // it never fails
	prefix = strings.ToLower(rand.Text()[:millrace.KeyPrefixLen])
	return "mr_" + prefix + "_" + hex.EncodeToString(secret[:]), prefix
}

type revokeKeyInput struct {
	Prefix string `path:"prefix" maxLength:"20" pattern:"^[a-z0-9]+$" doc:"What the key has between mr_ and the next _."`
}

type revokeKeyOutput struct{ Body keyView }

func (g *Gateway) revokeKey(ctx context.Context, in *revokeKeyInput) (*revokeKeyOutput, error) {
	k, err := g.door.keys.Revoke(ctx, in.Prefix)
	if err != nil {
		return nil, err
	}
	g.door.refresh(ctx)
	return &revokeKeyOutput{viewOfKey(k)}, nil
}

type listAuditInput struct {
	Who     string    `query:"who" maxLength:"64" doc:"The prefix or the name of a key, or loopback."`
	Action  string    `query:"action" maxLength:"64" doc:"The id of an operation, as in cancel-task, or sign-in."`
	On      string    `query:"on" maxLength:"200" doc:"A part of what it was done to, whatever the case."`
	Refused bool      `query:"refused" doc:"Only what was not done."`
	Since   time.Time `query:"since" doc:"Only what was done then or later." example:"2027-03-28T09:00:00+02:00"`
	Until   time.Time `query:"until" doc:"Only what was done before."`
	Limit   int       `query:"limit" minimum:"1" maximum:"200" default:"50"`
	After   string    `query:"after" maxLength:"100" doc:"Where to go on: next_cursor of the page before, with all else as it was."`
}

type listAuditOutput struct {
	Body struct {
		Entries    []auditView `json:"entries"`
		NextCursor string      `json:"next_cursor,omitempty" doc:"For the next page; missing on the last one. A page may be short, even empty, and not the last."`
	}
}

type auditView struct {
	At     time.Time `json:"at"`
	Who    string    `json:"who" doc:"The prefix of a key, or loopback where no key was asked for."`
	Name   string    `json:"name,omitempty" doc:"The name of the key."`
	Action string    `json:"action"`
	On     string    `json:"on" doc:"The path of the request."`
	Status int       `json:"status" doc:"What it was answered with."`
	From   string    `json:"from,omitempty" doc:"The address that it came from."`
}

func (g *Gateway) listAudit(ctx context.Context, in *listAuditInput) (*listAuditOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	page, err := g.store.Audited(ctx, streams.AuditQuery{
		Who: in.Who, Action: in.Action, On: in.On, Refused: in.Refused, Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.After,
	})
	if errors.Is(err, millrace.ErrInvalid) {
		return nil, refusedFor("query.after", err)
	}
	if err != nil {
		return nil, err
	}
	out := &listAuditOutput{}
	out.Body.Entries, out.Body.NextCursor = make([]auditView, len(page.Entries)), page.Next
	for i, e := range page.Entries {
		out.Body.Entries[i] = auditView(e)
	}
	return out, nil
}
