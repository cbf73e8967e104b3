package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"millrace"
	"millrace/signing"
)

// message is what a webhook is still to be told.
type message struct {
	// ID is the webhook-id: the same each time that it is sent.
	ID    string    `json:"id"`
	URL   string    `json:"url"`
	At    time.Time `json:"at"`
	Alert Alert     `json:"alert"`
	Tries int       `json:"tries,omitzero"`
	// Next is when it is sent, or sent again; before that somebody may be at it.
	Next time.Time `json:"next"`
}

const (
	// sendingFor is how long who has taken a message may take to send it.
	sendingFor = 30 * time.Second
	// maxTries is after how many it is given up: some 8 hours.
	maxTries   = 20
	mostUnsent = 500
	mostAtOnce = 10
)

func newMessage(a Alert, url string, now time.Time) message {
	return message{ID: "msg_" + millrace.NewID(), URL: url, At: now, Alert: a, Next: now}
}

// pause is how long to wait after so many tries.
func pause(tries int) time.Duration { return min(15*time.Second<<min(tries, 10), 30*time.Minute) }

// send sends what is to be sent now. A message is taken first, so that nobody else sends
// it meanwhile; it leaves when it has arrived, or was tried often enough.
func (w *Watch) send(ctx context.Context) error {
	var mine []message
	taken, err := w.change(ctx, func(s *state) {
		for i := range s.Outbox {
			if m := &s.Outbox[i]; !m.Next.After(time.Now()) && len(mine) < mostAtOnce {
				m.Tries++
				m.Next = time.Now().UTC().Add(sendingFor)
				mine = append(mine, *m)
			}
		}
	})
	if err != nil || !taken {
		return err
	}
	failed := make([]error, len(mine))
	var sending sync.WaitGroup
	for i, m := range mine {
		sending.Go(func() { failed[i] = w.post(ctx, m) })
	}
	sending.Wait()
	for i, m := range mine {
		if failed[i] != nil {
			w.cfg.Logger.Warn("a webhook was not told of an alert", "rule", m.Alert.Rule, "tries", m.Tries, "of", maxTries, "error", failed[i])
		}
	}
	// It must be known what has arrived, or it is sent again.
	for tries := 0; ctx.Err() == nil && tries < 20; tries++ {
		written, err := w.change(ctx, func(s *state) {
			s.Outbox = slices.DeleteFunc(s.Outbox, func(m message) bool {
				i := slices.IndexFunc(mine, func(o message) bool { return o.ID == m.ID })
				return i >= 0 && (failed[i] == nil || m.Tries >= maxTries)
			})
			for i := range s.Outbox {
				m := &s.Outbox[i]
				if slices.ContainsFunc(mine, func(o message) bool { return o.ID == m.ID && o.Next.Equal(m.Next) }) {
					m.Next = time.Now().UTC().Add(pause(m.Tries))
				}
			}
		})
		if err != nil || written {
			return err
		}
	}
	return nil
}

// post sends a message once.
func (w *Watch) post(ctx context.Context, m message) error {
	what := "alert.began"
	if !m.Alert.ResolvedAt.IsZero() {
		what = "alert.resolved"
	}
	body, err := json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      Alert     `json:"data"`
	}{what, m.At, m.Alert})
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	var signatures []string
	for _, k := range w.keys {
		signatures = append(signatures, signing.Sign(k, m.ID, now, body))
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Millrace",
		"webhook-id": m.ID, "webhook-timestamp": now, "webhook-signature": strings.Join(signatures, " "),
	} {
		request.Header.Set(name, value)
	}
	response, err := w.cfg.Client.Do(request)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("webhook: it answered %s", response.Status)
	}
	return nil
}
