package streams

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// Key is what is kept of a key of the API: never the key itself.
type Key struct {
	// Prefix is the part of the key that may be shown.
	Prefix string `json:"prefix"`
	// Hash is the SHA-256 of the whole key.
	Hash []byte `json:"hash"`
	// Name says whose it is. Two keys of a name can be live, so that one replaces another.
	Name   string           `json:"name"`
	Scopes []millrace.Scope `json:"scopes"`
	// Rate is how many requests a second it allows, and InFlight how many at once, of each
	// gateway; zero is without limit.
	Rate     int `json:"rate,omitempty"`
	InFlight int `json:"in_flight,omitempty"`

	CreatedAt time.Time `json:"created_at"`
	// ExpiresAt and RevokedAt are zero if it does not expire, and was not revoked.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// Live reports whether the key is good at that time.
func (k Key) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Session is somebody who is signed in.
type Session struct {
	// Prefix is of the key that was signed in with. When that ends, so does the session.
	Prefix    string    `json:"prefix"`
	ExpiresAt time.Time `json:"expires_at"`
}

// Ring is all that is known of keys and sessions, at one moment. It does not change.
type Ring struct {
	// Keys are by their prefix, the revoked and expired ones too.
	Keys map[string]Key
	// Sessions are by the SHA-256 of their ids, as hexadecimal digits.
	Sessions map[string]Session
}

// Keys holds the keys of the API, and its sessions. The keys of a name are one entry, so
// that two who make one at once cannot make too many.
type Keys struct{ bucket *Bucket }

// Keys returns the keys of the API.
func (s *Store) Keys() *Keys { return &Keys{s.buckets[keysBucket]} }

const (
	keyEntry     = "key."
	sessionEntry = "session."
	// keysWord is where word is sent that there is another ring.
	keysWord = "millrace.keys"
	// keysEvery is how often the ring is read though there was no word: it is how long a
	// key can outlive its revocation.
	keysEvery = 2 * time.Second
	// maxLive is how many keys of a name can be live, and maxKept how many are remembered.
	maxLive, maxKept = 2, 20
)

// Ring reads all that there is.
func (k *Keys) Ring(ctx context.Context) (*Ring, error) {
	entries, err := k.bucket.List(ctx)
	if err != nil {
		return nil, err
	}
	ring := &Ring{Keys: map[string]Key{}, Sessions: map[string]Session{}}
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Key, sessionEntry); ok {
			var s Session
			if err := json.Unmarshal(e.Value, &s); err != nil {
				return nil, fmt.Errorf("the entry of a session in the bucket %s: %w", keysBucket, err)
			}
			ring.Sessions[id] = s
			continue
		}
		var some []Key
		if err := json.Unmarshal(e.Value, &some); err != nil {
			return nil, fmt.Errorf("the entry %s of the bucket %s: %w", e.Key, keysBucket, err)
		}
		for _, key := range some {
			ring.Keys[key.Prefix] = key
		}
	}
	return ring, nil
}

// Add keeps a key. It returns [millrace.ErrConflict] if two keys of its name are live.
func (k *Keys) Add(ctx context.Context, key Key) error {
	err := k.change(ctx, key.Name, func(some []Key) ([]Key, error) {
		if slices.ContainsFunc(some, func(have Key) bool { return have.Prefix == key.Prefix }) {
			return some, nil // it was written, and the answer was lost
		}
		live := 0
		for _, have := range some {
			if have.Live(time.Now()) {
				live++
			}
		}
		if live >= maxLive {
			return nil, fmt.Errorf("%w: %s has two live keys, which is as many as there can be: revoke one first", millrace.ErrConflict, key.Name)
		}
		some = append(some, key)
		for i := 0; len(some) > maxKept && i < len(some); {
			if some[i].Live(time.Now()) {
				i++
				continue
			}
			some = slices.Delete(some, i, i+1)
		}
		return some, nil
	})
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	return nil
}

// Revoke ends the key of that prefix, and returns it. To do it again changes nothing. It
// returns [millrace.ErrNotFound] if there is none.
func (k *Keys) Revoke(ctx context.Context, prefix string) (Key, error) {
	ring, err := k.Ring(ctx)
	if err != nil {
		return Key{}, err
	}
	revoked, ok := ring.Keys[prefix]
	if !ok {
		return Key{}, fmt.Errorf("key %s: %w", prefix, millrace.ErrNotFound)
	}
	err = k.change(ctx, revoked.Name, func(some []Key) ([]Key, error) {
		i := slices.IndexFunc(some, func(have Key) bool { return have.Prefix == prefix })
		if i < 0 {
			return nil, fmt.Errorf("key %s: %w", prefix, millrace.ErrNotFound)
		}
		if some[i].RevokedAt.IsZero() {
			some[i].RevokedAt = time.Now().UTC()
		}
		revoked = some[i]
		return some, nil
	})
	return revoked, err
}

// change changes the keys of a name by compare-and-set.
func (k *Keys) change(ctx context.Context, name string, change func([]Key) ([]Key, error)) error {
	entry := keyEntry + millrace.EncodeToken(name)
	for {
		data, revision, err := k.bucket.Get(ctx, entry)
		if err != nil && !errors.Is(err, millrace.ErrNotFound) {
			return err
		}
		var some []Key
		if len(data) > 0 {
			if err := json.Unmarshal(data, &some); err != nil {
				return fmt.Errorf("the entry %s of the bucket %s: %w", entry, keysBucket, err)
			}
		}
		if some, err = change(some); err != nil {
			return err
		}
		if data, err = json.Marshal(some); err != nil {
			return err
		}
		_, err = k.bucket.Put(ctx, entry, data, revision, 0)
		if errors.Is(err, millrace.ErrConflict) && ctx.Err() == nil {
			continue
		}
		if err == nil {
			k.tell()
		}
		return err
	}
}

// Begin keeps a session until it expires. The id is the SHA-256 of what the browser has,
// as hexadecimal digits.
func (k *Keys) Begin(ctx context.Context, id string, s Session) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := k.bucket.Put(ctx, sessionEntry+id, data, 0, max(time.Second, time.Until(s.ExpiresAt))); err != nil {
		return err
	}
	k.tell()
	return nil
}

// End ends a session. One that there is not is ended.
func (k *Keys) End(ctx context.Context, id string) error {
	_, revision, err := k.bucket.Get(ctx, sessionEntry+id)
	if errors.Is(err, millrace.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = k.bucket.Delete(ctx, sessionEntry+id, revision)
	}
	if err == nil {
		k.tell()
	}
	return err
}

// tell tells all gateways. Word that gets lost is not needed: they read every keysEvery.
func (k *Keys) tell() { _ = k.bucket.store.nc.Publish(keysWord, nil) }

// Watch calls read, which is to read the ring, until ctx ends: at once when there is word
// of another one, and every two seconds.
func (k *Keys) Watch(ctx context.Context, read func()) error {
	bell := make(chan struct{}, 1)
	heard, err := k.bucket.store.nc.Subscribe(keysWord, func(*nats.Msg) {
		select {
		case bell <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return fmt.Errorf("listen for keys: %w", publishError(err))
	}
	defer func() { _ = heard.Unsubscribe() }()
	tick := time.NewTicker(keysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-bell:
		}
		read()
	}
}
