package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"regexp"
	"testing"
	"testing/synctest"
)

var healthAddress = regexp.MustCompile(`"health":"([0-9.]+:\d+)"`)

// TestHealthOfRoles asks roles without the API how they are, while the broker is there
// and when it is not.
func TestHealthOfRoles(t *testing.T) {
	b := startBroker(t)
	var roles []*process
	var asked []*client
	for _, role := range []string{"processor", "scheduler"} {
		p := start(t, "millrace", role, "--nats", b.url, "--health-listen", "127.0.0.1:0")
		roles, asked = append(roles, p), append(asked, newClient(t, p.says(t, healthAddress)))
		p.says(t, isReady)
	}
	ready := func(status int) {
		t.Helper()
		for i, c := range asked {
			eventually(t, func() error {
				if r := c.get(t, "/readyz"); r.status != status {
					return errors.New(r.String())
				}
				return nil
			})
			if r := c.get(t, "/healthz"); r.status != http.StatusOK {
				t.Errorf("%s is alive, but says %s", roles[i], r)
			}
			wantProblem(t, c.get(t, "/v1/tasks"), http.StatusNotFound)
		}
	}
	ready(http.StatusOK)
	b.kill()
	ready(http.StatusServiceUnavailable)
	wantProblem(t, asked[0].get(t, "/readyz"), http.StatusServiceUnavailable)
	if err := b.launch(); err != nil {
		t.Fatal(err)
	}
	ready(http.StatusOK)
	for _, p := range roles {
		p.signal(t, os.Interrupt)
		wantExit(t, p, 0, patience)
	}
}

// Whoever asks a service is answered until it has done what it had begun.
func TestObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		begun, ended, failure := make(chan bool), make(chan error, 1), errors.New("oops")
		var answering context.Context
		work := func(ctx context.Context) error {
			<-ctx.Done()
			<-begun
			return failure
		}
		answer := func(ctx context.Context) error {
			answering = ctx
			<-ctx.Done()
			return nil
		}
		go func() { ended <- observed(ctx, work, answer) }()
		stop()
		synctest.Wait()
		if answering.Err() != nil {
			t.Error("nobody answers while it stops")
		}
		close(begun)
		if err := <-ended; !errors.Is(err, failure) {
			t.Error(err)
		}
		// When nobody can answer any more, it stops.
		if err := observed(t.Context(), work, func(context.Context) error { return failure }); !errors.Is(err, failure) {
			t.Error(err)
		}
	})
}
