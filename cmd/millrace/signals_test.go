package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var stopping = regexp.MustCompile(`(Stopping); once more to stop at once`)

// running waits until a worker has the task.
func running(t *testing.T, api *client, id string) {
	t.Helper()
	eventually(t, func() error {
		if r := api.get(t, "/v1/tasks/"+id); !bytes.Contains(r.body, []byte(`"state":"running"`)) {
			return fmt.Errorf("not running: %s", r)
		}
		return nil
	})
}

// restart starts the node again on its data, and returns a client of it.
func restart(t *testing.T, p *process) *client {
	t.Helper()
	if err := p.launch(); err != nil {
		t.Fatal(err)
	}
	return newClient(t, p.says(t, apiAddress))
}

// wantExit fails the test unless the process ends with that code, and within the
// limit, which is far below what it would have to wait for if it did wait.
func wantExit(t *testing.T, p *process, code int, limit time.Duration) {
	t.Helper()
	begun := time.Now()
	if got := p.exitCode(t); got != code {
		t.Errorf("%s exits with %d, want %d", p, got, code)
	}
	if took := time.Since(begun); took > limit {
		t.Errorf("%s took %s to end", p, took)
	}
}

// TestInterrupt stops a node that has something to do: that is finished first.
func TestInterrupt(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		node, api := startDev(t)
		id := api.submit(t, `{"kind":"demo.sleep","args":{"ms":700}}`)
		running(t, api, id)
		node.signal(t, s)
		node.says(t, stopping)
		wantExit(t, node, 0, 10*time.Second)

		again := restart(t, node)
		task, err := again.finished(t.Context(), id)
		if err != nil || task.State != "succeeded" || len(task.Attempts) != 1 || task.Lost != 0 {
			t.Errorf("after %s: %+v, %v", s, task, err)
		}
		node.signal(t, s)
		wantExit(t, node, 0, 10*time.Second)
	}
}

// TestInterruptTwice stops a node at once, though a handler runs for 30 s.
func TestInterruptTwice(t *testing.T) {
	node, api := startDev(t)
	id := api.submit(t, `{"kind":"demo.sleep","args":{"ms":30000}}`)
	running(t, api, id)
	node.signal(t, os.Interrupt)
	node.says(t, stopping)
	node.signal(t, os.Interrupt)
	wantExit(t, node, 130, 10*time.Second)
	if r := restart(t, node).get(t, "/v1/tasks/"+id); r.status != http.StatusOK {
		t.Errorf("the task is lost: %s", r)
	}
}

// TestGrace stops a node whose handler runs for longer than it may: the task is
// handed back, which costs it no attempt.
func TestGrace(t *testing.T) {
	for _, grace := range []string{"0s", "300ms"} {
		node, api := startDev(t, "--grace", grace)
		id := api.submit(t, `{"kind":"demo.sleep","args":{"ms":30000}}`)
		running(t, api, id)
		node.signal(t, os.Interrupt)
		wantExit(t, node, 0, 15*time.Second)
		r := restart(t, node).get(t, "/v1/tasks/"+id)
		task := decode[shownTask](t, r.body)
		if r.status != http.StatusOK || len(task.Attempts) != 0 || task.State != "pending" && task.State != "running" {
			t.Errorf("with a grace of %s: %s", grace, r)
		}
	}
}

// TestInterruptedStart stops a node at many moments of its start.
func TestInterruptedStart(t *testing.T) {
	for i := range 16 {
		p := start(t, "millrace", "dev", "--listen", "127.0.0.1:0", "--nats-port", "0", "--data-dir", t.TempDir())
		if i%4 == 0 {
			p.says(t, apiAddress)
		} else {
			select { // no synchronisation: any moment will do
			case <-time.After(time.Duration(i) * 10 * time.Millisecond):
			case <-p.ended:
			}
		}
		p.signal(t, os.Interrupt)
		// Before it listens to signals, they end it in their own way: then -1.
		if code := p.exitCode(t); code > 0 {
			t.Errorf("interrupted after %d ms: exit code %d", 10*i, code)
		}
	}
}

// TestLongPollEnds stops a node while a client waits for a task: it is told how the
// task stands, or to ask again.
func TestLongPollEnds(t *testing.T) {
	node, api := startDev(t)
	id := api.submit(t, `{"kind":"nobody.knows"}`)
	asked := make(chan struct{}, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { asked <- struct{}{} },
	})
	// On connections of their own: one that idles may be closed just then, and one
	// that is dialled later is accepted later.
	address := strings.TrimPrefix(api.base, "http://")
	waiter, later := newClient(t, address), newClient(t, address)
	var r reply
	var err error
	var waiting sync.WaitGroup
	waiting.Go(func() { r, err = waiter.send(ctx, http.MethodGet, "/v1/tasks/"+id+"?wait=25s", "") })
	<-asked
	later.get(t, "/healthz")
	node.signal(t, os.Interrupt)
	wantExit(t, node, 0, 15*time.Second)
	waiting.Wait()
	if err != nil || r.status != http.StatusOK && r.status != http.StatusServiceUnavailable {
		t.Errorf("who waited is told: %s, %v", r, err)
	}
}

// TestServe is a node for production: it logs JSON, has no demo handlers, needs no
// port for NATS, and stops cleanly.
func TestServe(t *testing.T) {
	p := start(t, "millrace", "serve", "--listen", "127.0.0.1:0", "--nats-port", "off", "--data-dir", t.TempDir())
	api := newClient(t, p.says(t, apiAddress))
	echo := api.submit(t, `{"kind":"demo.echo"}`)
	r := api.post(t, "/v1/orders", smallOrder)
	if r.status != http.StatusAccepted {
		t.Fatal(r)
	}
	order, err := api.decided(t.Context(), decode[imported](t, r.body).OrderID)
	if err != nil || order.State != "awaiting_payment" || order.TotalMinor != 6 {
		t.Errorf("%+v, %v", order, err)
	}
	// Nobody carries that out here, but somebody may yet come who does.
	eventually(t, func() error {
		task := decode[shownTask](t, api.get(t, "/v1/tasks/"+echo).body)
		if task.State != "pending" || len(task.Attempts) != 0 {
			return fmt.Errorf("a demo handler in production: %+v", task)
		}
		return nil
	})
	p.signal(t, syscall.SIGTERM)
	wantExit(t, p, 0, 10*time.Second)

	said, _ := p.output.current()
	lines := bufio.NewScanner(bytes.NewReader(said))
	for lines.Scan() {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil && !stopping.Match(lines.Bytes()) {
			t.Errorf("not JSON: %s", lines.Text())
		}
		if bytes.Contains(lines.Bytes(), []byte("nats://")) {
			t.Errorf("there is a port for NATS: %s", lines.Text())
		}
	}
}

// TestRolesStop stops a gateway and a processor, with a broker and without.
func TestRolesStop(t *testing.T) {
	b := startBroker(t)
	for _, gone := range []bool{false, true} {
		gateway, api := startGateway(t, b)
		processor := startProcessor(t, b)
		// By the time a task is done both are well on their way, and have nothing
		// more to do.
		r := api.post(t, "/v1/orders", smallOrder)
		if _, err := api.finished(t.Context(), decode[imported](t, r.body).TaskID); err != nil {
			t.Fatal(err)
		}
		if gone {
			b.kill()
		}
		gateway.signal(t, os.Interrupt)
		processor.signal(t, syscall.SIGTERM)
		wantExit(t, gateway, 0, 15*time.Second)
		wantExit(t, processor, 0, 15*time.Second)
	}

	// Nobody answers, and one can wait for that.
	waiting := start(t, "millrace", "gateway", "--nats", b.url, "--listen", "127.0.0.1:0")
	waiting.says(t, regexp.MustCompile(`(no broker yet)`))
	waiting.signal(t, os.Interrupt)
	wantExit(t, waiting, 0, 15*time.Second)
	late := start(t, "millrace", "gateway", "--nats", b.url, "--listen", "127.0.0.1:0")
	late.says(t, regexp.MustCompile(`(no broker yet)`))
	if err := b.launch(); err != nil {
		t.Fatal(err)
	}
	newClient(t, late.says(t, apiAddress)).submit(t, smallTask)
}
