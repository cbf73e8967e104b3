package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"millrace"
	"millrace/streams"
)

// Idempotency keys (draft-ietf-httpapi-idempotency-key-header-07). The claim of
// a key is written before the work, and it holds the id that the work gets. So
// whatever dies in between, whoever takes the claim up again does the same thing
// under the same id, and the store takes an id once. The answer is added to the
// claim when the work is done.
//
//	no claim            claim it, do the work, keep the answer
//	another body        422
//	answered            the first answer again
//	claimed, fresh      409: a twin is at it right now
//	claimed, old        its owner died: take it over and do the work
type claims struct {
	bucket *streams.Bucket
	log    *slog.Logger
}

// claimLease is how long the owner of a claim has for the work. That is cut off
// after workTime; a write that is under way then has the store's own timeout on top,
// and so has the note of how it ended. So an owner that lives is not taken over.
const (
	workTime   = 5 * time.Second
	claimLease = 4 * workTime
)

// claim is a key's entry in the bucket.
type claim struct {
	// Fingerprint is the hash of the request's body. Empty means any: what the body
	// asked for was refused, and nothing was done under this key.
	Fingerprint string `json:"fingerprint"`
	// ID is what the work is done under.
	ID string `json:"id"`
	// Until is when the owner's time is over.
	Until time.Time `json:"until"`
	// Answer is the body of the first answer, once there is one.
	Answer jsontext.Value `json:"answer,omitzero"`
}

func newClaims(bucket *streams.Bucket, log *slog.Logger) *claims {
	return &claims{bucket: bucket, log: log}
}

// once does the work of a request under an id, and for requests with the same key
// and body only once: later ones get the first answer, and replayed is true. The
// work is told whether it may have been done before under that id. Without a key
// it is just done.
func once[T any](ctx context.Context, c *claims, scope, header string, body []byte, work func(ctx context.Context, id string, again bool) (T, error)) (answer T, replayed bool, err error) {
	if header == "" {
		answer, err = work(ctx, millrace.NewID(), false)
		return answer, false, err
	}
	name, err := parseKey(header)
	if err != nil {
		return answer, false, err
	}
	hash := sha256.Sum256([]byte(scope + "\x00" + name))
	key := hex.EncodeToString(hash[:])
	held, revision, again, err := c.take(ctx, key, body)
	if err != nil {
		return answer, false, err
	}
	if held.Answer != nil {
		if err := json.Unmarshal(held.Answer, &answer); err != nil {
			return answer, false, fmt.Errorf("answer of claim %s: %w", key, err)
		}
		return answer, true, nil
	}
	answer, err = work(ctx, held.ID, again)
	if err != nil {
		// Whoever repeats the request may try at once: another body if nothing was
		// done, else under the same id.
		held.Until = time.Time{}
		if errors.Is(err, millrace.ErrInvalid) || errors.Is(err, millrace.ErrConflict) || errors.Is(err, millrace.ErrQueueFull) || errors.Is(err, millrace.ErrDraining) {
			held.Fingerprint = ""
		}
		c.settle(ctx, key, held, revision)
		return answer, false, err
	}
	held.Answer, err = json.Marshal(answer)
	if err != nil {
		return answer, false, fmt.Errorf("answer of claim %s: %w", key, err)
	}
	c.settle(ctx, key, held, revision)
	return answer, false, nil
}

// take claims key, or finds who did. The claim that it returns is answered, or
// it is the caller's, at that revision; again means that it was somebody's before.
func (c *claims) take(ctx context.Context, key string, body []byte) (held claim, revision uint64, again bool, err error) {
	hash := sha256.Sum256(body)
	fresh := claim{Fingerprint: hex.EncodeToString(hash[:]), ID: millrace.NewID(), Until: time.Now().Add(claimLease)}
	revision, err = c.put(ctx, key, fresh, 0)
	if err == nil {
		return fresh, revision, false, nil
	}
	if !errors.Is(err, millrace.ErrConflict) {
		return claim{}, 0, false, err
	}
	data, revision, err := c.bucket.Get(ctx, key)
	if err != nil {
		return claim{}, 0, false, err
	}
	if err := json.Unmarshal(data, &held); err != nil {
		return claim{}, 0, false, fmt.Errorf("claim %s: %w", key, err)
	}
	refused := held.Fingerprint == ""
	switch {
	case !refused && held.Fingerprint != fresh.Fingerprint:
		return claim{}, 0, false, keyReused()
	case held.Answer != nil:
		return held, revision, true, nil
	case time.Now().Before(held.Until):
		return claim{}, 0, false, twinAtWork()
	}
	if refused {
		held = fresh
	}
	held.Until = fresh.Until
	revision, err = c.put(ctx, key, held, revision)
	if errors.Is(err, millrace.ErrConflict) {
		return claim{}, 0, false, twinAtWork()
	}
	return held, revision, !refused, err
}

// settle writes what became of the claim. If that fails the work stands all the
// same, and a repeated request finds it under its id.
func (c *claims) settle(ctx context.Context, key string, held claim, revision uint64) {
	if _, err := c.put(context.WithoutCancel(ctx), key, held, revision); err != nil {
		c.log.Warn("cannot keep the answer to an idempotency key", "claim", key, "error", err)
	}
}

func (c *claims) put(ctx context.Context, key string, held claim, revision uint64) (uint64, error) {
	data, err := json.Marshal(held)
	if err != nil {
		return 0, fmt.Errorf("claim %s: %w", key, err)
	}
	return c.bucket.Put(ctx, key, data, revision, 0)
}

// parseKey reads the header: a string of RFC 8941 in quotes, as the draft has it,
// or bare, as most clients send it.
func parseKey(header string) (string, error) {
	key := header
	if len(key) >= 2 && strings.HasPrefix(key, `"`) && strings.HasSuffix(key, `"`) {
		key = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(key[1 : len(key)-1])
	}
	for _, c := range []byte(key) {
		if c < ' ' || c > '~' {
			return "", fmt.Errorf("%w: Idempotency-Key may hold only printable ASCII", millrace.ErrInvalid)
		}
	}
	if key == "" {
		return "", fmt.Errorf("%w: Idempotency-Key is empty", millrace.ErrInvalid)
	}
	return key, nil
}

func keyReused() *problem {
	p := newProblem(http.StatusUnprocessableEntity, "This Idempotency-Key was used with another body. Use a new key for a new request.")
	p.Type, p.Title = problemType("key-reused"), "Idempotency-Key reused"
	return p
}

func twinAtWork() *problem {
	p := newProblem(http.StatusConflict, "A request with this Idempotency-Key is being worked on. Repeat it for the answer.")
	p.Type, p.Title, p.retryAfter = problemType("key-in-use"), "Idempotency-Key in use", time.Second
	return p
}
