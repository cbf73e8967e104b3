package gateway

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestSlowRequestsAreCut(t *testing.T) {
	for name, start := range map[string]string{
		"nothing":       "",
		"half a header": "POST /v1/tasks HTTP/1.1\r\nHost: te",
		"half a body":   "POST /v1/tasks HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := newApp(appConfig{ReadTimeout: 100 * time.Millisecond})
			c := newClient(t, serveApp(t, app))
			_, err := fmt.Fprint(c.conn, start)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.receive(start); got.StatusCode != http.StatusRequestTimeout {
				t.Errorf("%d", got.StatusCode)
			} else {
				checkProblem(t, got)
			}
			if !c.closed() {
				t.Error("the connection is still open")
			}
		})
	}
}

// A client that sends a byte now and then gets no more time by it.
func TestDrippingRequestsAreCut(t *testing.T) {
	c := newClient(t, serveApp(t, newApp(appConfig{ReadTimeout: 150 * time.Millisecond})))
	if _, err := fmt.Fprint(c.conn, "GET / HTTP/1.1\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	answered := make(chan reply)
	go func() { answered <- c.receive("GET") }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; {
		select {
		case got := <-answered:
			if got.StatusCode != http.StatusRequestTimeout {
				t.Errorf("%d", got.StatusCode)
			}
			return
		case <-tick.C:
			if time.Since(start) > 5*time.Second {
				t.Fatal("it may go on for ever")
			}
			_, _ = fmt.Fprint(c.conn, "x")
		}
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	c := newClient(t, serveApp(t, newApp(appConfig{IdleTimeout: 50 * time.Millisecond})))
	c.send(request("GET /nope", ""))
	if !c.closed() {
		t.Error("it is still open")
	}
}

func TestExpectContinue(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	c := newClient(t, serveApp(t, app))
	head, _, _ := strings.Cut(postJSON("/v1/tasks", sampleTask, "Expect: 100-continue"), "{")
	if _, err := fmt.Fprint(c.conn, head); err != nil {
		t.Fatal(err)
	}
	if line, err := c.r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := c.r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if got := c.send(sampleTask); got.StatusCode != http.StatusAccepted {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// Go's client reports a broken connection if it is reset while it sends.
func TestAClientThatIsStillSendingReadsWhyItIsRefused(t *testing.T) {
	address := serveApp(t, newApp(appConfig{}))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for range 20 {
		body := bytes.NewReader(make([]byte, 8<<20))
		response, err := (&http.Client{Transport: transport}).Post("http://"+address+"/", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatal(response.Status)
		}
	}
}
