package processor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"millrace"
	"millrace/embedded"
	"millrace/processor"
	"millrace/streams"
)

// childEnv makes the test binary a worker process of its own.
const childEnv = "MILLRACE_PROCESSOR_TEST_CHILD"

// childAckWait is short, so that what a dead worker held comes again soon.
const childAckWait = time.Second

// childConfig is what the worker is to do: with a server of its own in DataDir,
// which dies with it, or at the server at URL. With Tasks it submits those, unless
// it has before, and ends when they are finished.
type childConfig struct {
	DataDir, URL string
	Tasks        int
}

// work runs a processor until standard input ends.
func (c childConfig) work() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lines := make(chan string)
	go func() {
		defer cancel()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	cfg := streams.Config{URL: c.URL, AckWait: childAckWait}
	working := processor.Config{Worker: "child", Concurrency: crowd}
	if c.DataDir != "" {
		server, err := embedded.Start(ctx, embedded.Config{DataDir: c.DataDir, Port: -1})
		if err != nil {
			return err
		}
		defer server.Shutdown()
		cfg.InProcess, working.BrokerRemembers = server, server.Remembers()
	}
	store, err := streams.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := c.submit(ctx, store); err != nil {
		return err
	}
	p := processor.New(store, working)
	registerCrowd(p)
	handle(p, "test.ask", func(context.Context, millrace.RawTask) (any, error) {
		fmt.Println("started")
		answer := <-lines
		fmt.Println("returned")
		return answer, nil
	})
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	if c.Tasks > 0 {
		for _, task := range crowdOfTasks(c.Tasks) {
			if _, err := store.Wait(ctx, task.ID); err != nil {
				return err
			}
		}
		cancel()
	}
	return <-ended
}

func (c childConfig) submit(ctx context.Context, store *streams.Store) error {
	before, err := store.LastSequence(ctx, "default")
	if err != nil || before > 0 || c.Tasks == 0 {
		return err
	}
	for _, err := range store.SubmitMany(ctx, crowdOfTasks(c.Tasks)) {
		if err != nil {
			return err
		}
	}
	return nil
}

// A crowd is as many tasks as a worker runs at once, with the one that kills it in
// the middle. The others take long enough to be running when it does.
const (
	crowd  = 64
	poison = "t20"
)

func crowdOfTasks(n int) []millrace.RawTask {
	tasks := make([]millrace.RawTask, n)
	for i := range tasks {
		tasks[i] = newTask(fmt.Sprintf("t%d", i), "test.neighbour")
		if tasks[i].ID == poison {
			tasks[i].Kind = "test.poison"
		}
	}
	return tasks
}

func registerCrowd(p *processor.Processor) {
	handle(p, "test.poison", func(context.Context, millrace.RawTask) (any, error) {
		time.Sleep(20 * time.Millisecond)
		err := syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
		return nil, err
	})
	handle(p, "test.neighbour", func(context.Context, millrace.RawTask) (any, error) {
		time.Sleep(40 * time.Millisecond)
		return "done", nil
	})
}

// child is a worker process.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChild(t *testing.T, cfg childConfig) *child {
	t.Helper()
	data, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(data))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // by its pid; no matter if it has ended
		_ = cmd.Wait()
	})
	return c
}

// wait until the process has ended, and tell whether it was killed.
func (c *child) wait(t *testing.T) (killed bool) {
	t.Helper()
	err := c.cmd.Wait()
	if status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("the child ended with %v", err)
	}
	return false
}

// says waits for a line of the child's.
func (c *child) says(t *testing.T, want string) {
	t.Helper()
	if !c.out.Scan() || c.out.Text() != want {
		t.Fatalf("the child says %q, want %q: %v", c.out.Text(), want, c.out.Err())
	}
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}
