package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"millrace/embedded"
)

// childDir makes the test binary a second process that opens the named data directory.
const childDir = "MILLRACE_EMBEDDED_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := serveChild(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// serveChild stores 100 messages, tells the parent its pid, and serves until the parent closes our standard input or kills us.
func serveChild(dir string) error {
	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Port: -1})
	if err != nil {
		return err
	}
	defer server.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(server))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}}); err != nil {
		return err
	}
	for range 100 {
		if _, err := js.Publish(ctx, "keep", []byte("message")); err != nil {
			return err
		}
	}
	fmt.Println(os.Getpid())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// child is a process that has the data directory open and 100 messages in it.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	pid   int
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line := bufio.NewScanner(stdout)
	line.Scan()
	pid, err := strconv.Atoi(line.Text())
	if err != nil {
		t.Fatalf("child said %q", line.Text())
	}
	return &child{cmd: cmd, stdin: stdin, pid: pid}
}

// start starts a server without a listener, unless cfg says otherwise, that is shut down with the test.
func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	server, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server
}

// fill makes the stream KEEP with n messages and a durable consumer that has acknowledged the first.
func fill(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	ctx := t.Context()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KEEP", Subjects: []string{"keep"}})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.PublishAsync("keep", []byte("message"), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("messages are not acknowledged")
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
}

// holds fails the test unless the stream KEEP has n messages.
func holds(t *testing.T, js jetstream.JetStream, n uint64) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KEEP")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != n {
		t.Fatalf("stream holds %d messages, want %d", got, n)
	}
}

// refused fails the test unless a server for cfg does not start, and returns why.
func refused(t *testing.T, cfg embedded.Config) error {
	t.Helper()
	server, err := embedded.Start(t.Context(), cfg)
	if err == nil {
		server.Shutdown()
		t.Fatal("the server started")
	}
	return err
}

func wantLocked(t *testing.T, err error, dir string, pid int) {
	t.Helper()
	locked, ok := errors.AsType[*embedded.LockedError](err)
	if !ok {
		t.Fatalf("got %v, want a LockedError", err)
	}
	if locked.Dir != dir || locked.PID != pid {
		t.Fatalf("got %+v, want directory %s and process %d", locked, dir, pid)
	}
}
