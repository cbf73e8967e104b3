package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
)

// serveApp runs app on a free loopback port until the test ends.
func serveApp(t testing.TB, app *fiber.App) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(lingeringListener{listener}) }()
	t.Cleanup(func() {
		if err := app.ShutdownWithTimeout(10 * time.Second); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// client is a connection on which bytes are sent as they are, so that what no
// HTTP library would send can be. Nothing on it waits longer than 10 s.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func newClient(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// reply is an answer, and its problem if it is one.
type reply struct {
	*http.Response
	body    string
	problem wireProblem
}

// wireProblem is a problem as a client reads it.
type wireProblem struct {
	Type     string          `json:"type"`
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Detail   string          `json:"detail"`
	Instance string          `json:"instance"`
	Errors   []wireViolation `json:"errors"`
}

type wireViolation struct {
	Message  string          `json:"message"`
	Location string          `json:"location"`
	Value    json.RawMessage `json:"value"`
}

// send writes a request and reads the answer, which may come before all of the
// request is taken.
func (c *client) send(request string) reply {
	c.t.Helper()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(c.conn, request)
	}()
	got := c.receive(request)
	<-sent
	return got
}

func (c *client) receive(request string) reply {
	c.t.Helper()
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("%.60q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatalf("%.60q: %v", request, err)
	}
	got := reply{Response: response, body: string(body)}
	if response.Header.Get("Content-Type") == mediaProblem && len(body) > 0 {
		if err := json.Unmarshal(body, &got.problem); err != nil {
			c.t.Fatalf("%s: %v", body, err)
		}
	}
	return got
}

// closed reports whether the server has closed the connection.
func (c *client) closed() bool {
	_, err := c.r.ReadByte()
	return err == io.EOF
}

// postJSON is the text of a request with a JSON body.
func postJSON(path, body string, headers ...string) string {
	return request("POST "+path, body, append(headers, "Content-Type: application/json")...)
}

// request is the text of a request; a body gets its length.
func request(line, body string, headers ...string) string {
	if body != "" {
		headers = append(headers, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return line + " HTTP/1.1\r\n" + strings.Join(append(headers, "Host: localhost"), "\r\n") + "\r\n\r\n" + body
}
