// Package alerts notices what goes wrong, and tells it: it judges every few seconds what
// the store says of queues, workers, what failed and what is late, keeps what is wrong
// where all processes see it, and sends it to webhooks.
//
// Any number of processes may watch. What is wrong is one entry that changes by
// compare-and-set, with what is still to be sent: so each change is told by one of them,
// and also if that one dies.
//
// Start reading at rules.go; state.go says when a reading becomes an alert, webhook.go how
// it is told.
package alerts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"millrace"
	"millrace/signing"
	"millrace/streams"
)

// Config is how a watch works. The zero value watches with the default thresholds and
// tells nobody.
type Config struct {
	Thresholds Thresholds
	// Every is how often everything is looked at. Zero means 15 s.
	Every time.Duration
	// Webhooks are the addresses that are told when an alert begins and when it is over.
	Webhooks []string
	// Secrets sign what is sent: "whsec_" and the base64 of 24 to 64 bytes. Each adds a
	// signature, so that one can be replaced by another. Needed if there are webhooks.
	Secrets []string
	// Disk says how much of the disk that the broker writes to is taken, and how large it
	// is, zero if that is not known. Nil means what the broker says of its own limits.
	Disk func(context.Context) (used, size uint64, err error)
	// Client sends to webhooks. Nil means one that waits 10 s and follows no redirects.
	Client *http.Client
	// Logger hears of alerts, and of what goes wrong. Nil means silence.
	Logger *slog.Logger
}

// Watch notices what goes wrong. Make one with [New].
type Watch struct {
	store *streams.Store
	cfg   Config
	keys  [][]byte
}

// New returns a watch of the store.
func New(store *streams.Store, cfg Config) (*Watch, error) {
	cfg.Thresholds = cfg.Thresholds.withDefaults()
	cfg.Every = cmp.Or(cfg.Every, 15*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Disk == nil {
		cfg.Disk = store.Storage
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{
			Timeout:       10 * time.Second,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	for _, hook := range cfg.Webhooks {
		if u, err := url.Parse(hook); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("alerts: %w: the webhook must be an http or https URL", millrace.ErrInvalid)
		}
	}
	keys, err := signing.Keys("alert webhook", cfg.Secrets)
	if err == nil && len(keys) == 0 && len(cfg.Webhooks) > 0 {
		err = errors.New("webhooks need a secret to be signed with")
	}
	if err != nil {
		return nil, fmt.Errorf("alerts: %w: %w", millrace.ErrInvalid, err)
	}
	return &Watch{store: store, cfg: cfg, keys: keys}, nil
}

// Run watches until ctx ends. It returns nil.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := w.round(ctx)
		if err != nil && ctx.Err() == nil && !told {
			w.cfg.Logger.Warn("cannot see whether something is wrong, trying until it is possible", "error", err)
		}
		told = err != nil
	}
}

// round looks at everything once, and sends what is to be sent.
func (w *Watch) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	readings, err := w.read(ctx)
	if err == nil {
		var changed []Alert
		var written bool
		written, err = w.change(ctx, func(s *state) { changed = s.judge(readings, time.Now().UTC(), w.cfg.Webhooks) })
		if written {
			w.tell(changed)
		}
	}
	return errors.Join(err, w.send(ctx))
}

// key is of the one entry.
const key = "alerts"

// change lets do change the state, and writes it if it has changed. It reports whether it
// was written: if somebody else is faster, it is not.
func (w *Watch) change(ctx context.Context, do func(*state)) (written bool, err error) {
	s, revision, err := load(ctx, w.store)
	if err != nil {
		return false, err
	}
	before, err := json.Marshal(s)
	if err != nil {
		return false, fmt.Errorf("alerts: %w", err)
	}
	do(s)
	after, err := json.Marshal(s)
	if err != nil {
		return false, fmt.Errorf("alerts: %w", err)
	}
	if string(before) == string(after) {
		return false, nil
	}
	_, err = w.store.Alerts().Put(ctx, key, after, revision, 0)
	if errors.Is(err, millrace.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

func (w *Watch) tell(changed []Alert) {
	for _, a := range changed {
		if a.ResolvedAt.IsZero() {
			w.cfg.Logger.Warn("alert", "rule", a.Rule, "subject", a.Subject, "text", a.Text)
		} else {
			w.cfg.Logger.Info("alert is over", "rule", a.Rule, "subject", a.Subject)
		}
	}
}

// List returns the alerts that are active, and those that were over in the last day, the
// newest first.
func List(ctx context.Context, store *streams.Store) (active, resolved []Alert, err error) {
	s, _, err := load(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	return s.Active, s.resolvedSince(time.Now().Add(-resolvedKept)), nil
}

func load(ctx context.Context, store *streams.Store) (*state, uint64, error) {
	s := &state{}
	data, revision, err := store.Alerts().Get(ctx, key)
	if errors.Is(err, millrace.ErrNotFound) {
		return s, revision, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(data, s); err != nil {
		// Somebody wrote it by hand. It is about the present: begin anew.
		return &state{}, revision, nil //nolint:nilerr // see above
	}
	return s, revision, nil
}
