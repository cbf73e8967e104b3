package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key, and print it this once."`
	List   keysListCmd   `cmd:"" help:"List the keys, also those that are not good any more."`
	Revoke keysRevokeCmd `cmd:"" help:"Revoke a key: it is refused within two seconds."`
}

type keysCreateCmd struct {
	clientFlags
	Name      string        `arg:"" help:"Whose it is, as in shop-web. Two keys of a name can be good at once, so that one replaces the other."`
	Scope     []string      `required:"" enum:"submit,read,operate,admin" help:"What it allows: submit, read, operate, or admin, which is everything; comma separated." placeholder:"SCOPE"`
	ExpiresIn time.Duration `help:"After how long it expires, as in 2160h (default: never)." placeholder:"TIME"`
	Rate      int           `help:"How many requests a second it allows, of each gateway (default: any number)." placeholder:"N"`
	InFlight  int           `help:"How many requests at once it allows, of each gateway (default: any number)." placeholder:"N"`
}

// Run prints the key alone on standard output, so that it can be put where it belongs.
func (c *keysCreateCmd) Run(ctx context.Context, io stdio) error {
	body := map[string]any{"name": c.Name, "scopes": c.Scope, "rate": c.Rate, "in_flight": c.InFlight}
	if c.ExpiresIn != 0 {
		body["expires_in"] = c.ExpiresIn.String()
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer, err := c.call(ctx, http.MethodPost, "/v1/keys", data, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.show(io.out, answer)
	}
	var made struct{ Key string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return fmt.Errorf("the server's answer is no key: %w", err)
	}
	fmt.Fprintln(io.err, "Keep it: it is not shown again.")
	_, err = fmt.Fprintln(io.out, made.Key)
	return err
}

type keysListCmd struct{ clientFlags }

// Run lists the keys.
func (c *keysListCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "NAME", "PREFIX", "SCOPES", "CREATED", "STATE")
	err := c.each(ctx, "/v1/keys", "keys", func(one json.RawMessage) error {
		var k struct {
			Name, Prefix string
			Scopes       []string
			Live         bool
			CreatedAt    *time.Time `json:"created_at"`
			ExpiresAt    *time.Time `json:"expires_at"`
			RevokedAt    *time.Time `json:"revoked_at"`
		}
		if err := json.Unmarshal(one, &k); err != nil {
			return fmt.Errorf("the server's answer is no list of keys: %w", err)
		}
		state := "good"
		switch {
		case k.RevokedAt != nil:
			state = "revoked " + shownTime(k.RevokedAt)
		case k.ExpiresAt != nil && k.Live:
			state = "good until " + shownTime(k.ExpiresAt)
		case k.ExpiresAt != nil:
			state = "expired " + shownTime(k.ExpiresAt)
		}
		return list.add(one, k.Name, k.Prefix, strings.Join(k.Scopes, ","), shownTime(k.CreatedAt), state)
	})
	if err != nil {
		return err
	}
	return list.end("There are no keys: whoever reaches the API can do everything.")
}

type keysRevokeCmd struct {
	clientFlags
	Prefix string `arg:"" help:"What the key has between mr_ and the next _, as the list shows it."`
}

// Run revokes a key.
func (c *keysRevokeCmd) Run(ctx context.Context, io stdio) error {
	answer, err := c.call(ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(c.Prefix), nil, nil)
	if err != nil {
		return err
	}
	return c.show(io.out, answer)
}

type auditCmd struct {
	clientFlags
	pageFlags
	Who     string `help:"Only what was done with the key of this prefix or name, or \"loopback\" for what took no key."`
	Action  string `help:"Only this action, as in cancel-task."`
	On      string `help:"Only what was done to something with this in its path."`
	Refused bool   `help:"Only what was not done."`
	Since   moment `help:"Only what was done then or later: a time such as 2027-03-28T09:00:00+02:00, or how long ago, as in 2h." placeholder:"TIME"`
	Until   moment `help:"Only what was done before." placeholder:"TIME"`
}

// Run lists who did what, the newest first.
func (c *auditCmd) Run(ctx context.Context, io stdio) error {
	query := url.Values{}
	for name, value := range map[string]string{"who": c.Who, "action": c.Action, "on": c.On, "since": string(c.Since), "until": string(c.Until)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.Refused {
		query.Set("refused", "true")
	}
	list := newTable(io.out, c.JSON, "AT", "WHO", "NAME", "ACTION", "ON", "STATUS")
	err := c.pages(ctx, io, "/v1/audit", "entries", query, c.pageFlags, func(one json.RawMessage) error {
		var e struct {
			At                    *time.Time
			Who, Name, Action, On string
			Status                int
		}
		if err := json.Unmarshal(one, &e); err != nil {
			return fmt.Errorf("the server's answer is no audit log: %w", err)
		}
		return list.add(one, shownTime(e.At), e.Who, e.Name, e.Action, e.On, strconv.Itoa(e.Status))
	})
	if err != nil {
		return err
	}
	return list.end("Nothing was done.")
}
