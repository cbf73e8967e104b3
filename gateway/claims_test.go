package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
	"millrace/test/broker"
)

func newStore(t *testing.T) *streams.Store {
	t.Helper()
	store, err := streams.Open(t.Context(), streams.Config{InProcess: broker.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func newTestClaims(t *testing.T) *claims {
	return newClaims(newStore(t).Claims(), slog.New(slog.DiscardHandler))
}

// echoID is work whose answer is the id it was done under.
func echoID(_ context.Context, id string, _ bool) (string, error) { return id, nil }

func statusOf(err error) int {
	if p, ok := errors.AsType[*problem](err); ok {
		return p.Status
	}
	return 0
}

func TestKeyIsWorkedOnOnce(t *testing.T) {
	c := newTestClaims(t)
	first, replayed, err := once(t.Context(), c, "task", "k", []byte("body"), echoID)
	if err != nil || replayed {
		t.Fatal(replayed, err)
	}
	again, replayed, err := once(t.Context(), c, "task", `"k"`, []byte("body"), echoID) // quoted, as the draft has it
	if err != nil || !replayed || again != first {
		t.Errorf("the same request: %q, replayed %t, %v; want %q again", again, replayed, err, first)
	}
	if _, _, err = once(t.Context(), c, "task", "k", []byte("other"), echoID); statusOf(err) != http.StatusUnprocessableEntity {
		t.Errorf("another body: %v, want 422", err)
	}
	other, replayed, err := once(t.Context(), c, "order", "k", []byte("other"), echoID)
	if err != nil || replayed || other == first {
		t.Errorf("the key of another scope: %q, replayed %t, %v", other, replayed, err)
	}
	unkeyed, replayed, err := once(t.Context(), c, "task", "", []byte("body"), echoID)
	if err != nil || replayed || unkeyed == first {
		t.Errorf("without a key: %q, replayed %t, %v", unkeyed, replayed, err)
	}
}

func TestTwinsWaitTheirTurn(t *testing.T) {
	c := newTestClaims(t)
	atWork, finish := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, _, err := once(t.Context(), c, "task", "k", nil, func(_ context.Context, id string, _ bool) (string, error) {
			close(atWork)
			<-finish
			return id, nil
		})
		done <- err
	}()
	<-atWork
	_, _, err := once(t.Context(), c, "task", "k", nil, echoID)
	if p, ok := errors.AsType[*problem](err); !ok || p.Status != http.StatusConflict || p.retryAfter == 0 {
		t.Errorf("a twin: %v, want 409 with Retry-After", err)
	}
	close(finish)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, replayed, err := once(t.Context(), c, "task", "k", nil, echoID); err != nil || !replayed {
		t.Errorf("afterwards: replayed %t, %v", replayed, err)
	}
}

func TestRacersOnOneKey(t *testing.T) {
	c := newTestClaims(t)
	var worked atomic.Int32
	var racing sync.WaitGroup
	for range 64 {
		racing.Go(func() {
			_, _, err := once(t.Context(), c, "task", "k", nil, func(_ context.Context, id string, _ bool) (string, error) {
				worked.Add(1)
				return id, nil
			})
			if err != nil && statusOf(err) != http.StatusConflict {
				t.Error(err)
			}
		})
	}
	racing.Wait()
	if n := worked.Load(); n != 1 {
		t.Errorf("worked %d times", n)
	}
}

// An owner that dies leaves a claim behind, before its work or after it. Whoever
// repeats the request when the owner's time is over works under the same id.
func TestClaimOfADeadOwner(t *testing.T) {
	c := newTestClaims(t)
	hash := sha256.Sum256([]byte("task\x00k"))
	key := hex.EncodeToString(hash[:])
	body := sha256.Sum256([]byte("body"))
	left := claim{Fingerprint: hex.EncodeToString(body[:]), ID: "left-behind", Until: time.Now().Add(time.Hour)}
	revision, err := c.put(t.Context(), key, left, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := once(t.Context(), c, "task", "k", []byte("body"), echoID); statusOf(err) != http.StatusConflict {
		t.Errorf("while the owner may live: %v, want 409", err)
	}
	left.Until = time.Now().Add(-time.Millisecond)
	if _, err = c.put(t.Context(), key, left, revision); err != nil {
		t.Fatal(err)
	}
	answer, replayed, err := once(t.Context(), c, "task", "k", []byte("body"), func(_ context.Context, id string, again bool) (string, error) {
		if !again {
			t.Error("the work is not told that it may have been done")
		}
		return id, nil
	})
	if err != nil || replayed || answer != "left-behind" {
		t.Errorf("taken over: %q, replayed %t, %v", answer, replayed, err)
	}
}

func TestFailedWorkGivesTheClaimBack(t *testing.T) {
	c := newTestClaims(t)
	var first string
	_, _, err := once(t.Context(), c, "task", "k", nil, func(_ context.Context, id string, _ bool) (string, error) {
		first = id
		return "", millrace.ErrQueueFull
	})
	if !errors.Is(err, millrace.ErrQueueFull) {
		t.Fatal(err)
	}
	if first == "" {
		t.Fatal("there was no work")
	}
	// Nothing was done, so the request may even be another one.
	second, replayed, err := once(t.Context(), c, "task", "k", []byte("mended"), echoID)
	if err != nil || replayed || second == first {
		t.Errorf("at once: %q, replayed %t, %v; want work under a new id", second, replayed, err)
	}
	if _, _, err := once(t.Context(), c, "task", "k", nil, echoID); statusOf(err) != http.StatusUnprocessableEntity {
		t.Errorf("and then the first body: %v, want 422", err)
	}
}

// When nobody knows whether the work was done, it is done again under its id.
func TestUnknownOutcomeKeepsTheID(t *testing.T) {
	c := newTestClaims(t)
	var first string
	_, _, err := once(t.Context(), c, "task", "k", nil, func(_ context.Context, id string, _ bool) (string, error) {
		first = id
		return "", millrace.ErrUnavailable
	})
	if !errors.Is(err, millrace.ErrUnavailable) {
		t.Fatal(err)
	}
	if _, _, err := once(t.Context(), c, "task", "k", []byte("other"), echoID); statusOf(err) != http.StatusUnprocessableEntity {
		t.Errorf("another body: %v, want 422", err)
	}
	second, replayed, err := once(t.Context(), c, "task", "k", nil, echoID)
	if err != nil || replayed || second != first {
		t.Errorf("at once: %q, replayed %t, %v; want work under the id %q", second, replayed, err, first)
	}
}

func TestParseKey(t *testing.T) {
	for header, want := range map[string]string{
		"abc": "abc", `"abc"`: "abc", `"a\"b\\c"`: `a"b\c`, `"`: `"`, "a b": "a b", `""`: "", "a\x00b": "", "ü": "", "a\r\nb": "",
	} {
		got, err := parseKey(header)
		if got != want || (err != nil) != (want == "") || err != nil && !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("parseKey(%q) = %q, %v", header, got, err)
		}
	}
}

// What a claim answers is the first answer to the letter.
func TestAnswerSurvivesTheClaim(t *testing.T) {
	want := acceptedTask{ID: "id", Kind: "a.b", Queue: "bulk", State: millrace.Pending}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got acceptedTask
	if err := json.Unmarshal(data, &got); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
