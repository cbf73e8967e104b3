package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace"
	"millrace/client"
)

// echoes are tasks that are echoed.
func echoes(n int) []client.Task {
	tasks := make([]client.Task, n)
	for i := range tasks {
		tasks[i] = client.Task{Kind: "echo", Args: i}
	}
	return tasks
}

// wantEach checks that every task was taken, and is carried out once, as the one that its
// answer tells of.
func (m *mill) wantEach(c *client.Client, answers []client.Answer) {
	m.t.Helper()
	var ids []string
	for i, a := range answers {
		if a.Err != nil || a.ID == "" || a.Kind != "echo" {
			m.t.Fatalf("task %d: %+v", i, a)
		}
		if i%100 == 0 || i == len(answers)-1 {
			if got, err := client.Result[int](m.t.Context(), c, a.ID); err != nil || got != i {
				m.t.Errorf("task %d: %d, %v", i, got, err)
			}
		}
		ids = append(ids, a.ID)
	}
	for m.count() < len(ids) {
		time.Sleep(time.Millisecond)
	}
	m.wantOnce(ids)
}

// The gateway goes away in the middle, and comes back.
func TestManyWhileItRestarts(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	const n = 12_000
	restarted := make(chan bool)
	go func() {
		defer close(restarted)
		for _, least := range []uint64{100, n / 2, n - 2000} {
			for {
				if last, err := m.store.LastSequence(t.Context(), "default"); err != nil || last >= least {
					break
				}
				time.Sleep(time.Millisecond)
			}
			m.stop()
			m.serve()
		}
	}()
	answers, err := c.SubmitMany(t.Context(), echoes(n))
	if err != nil {
		t.Fatal(err)
	}
	<-restarted
	m.wantEach(c, answers)
}

// cutting is a way to the gateway whose connections break when so many bytes of answers
// have come through, wherever that is.
func (m *mill) cutting(after func() int64) (address string) {
	m.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.run(func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { listener.Close() })()
		var relaying sync.WaitGroup
		defer relaying.Wait()
		for {
			front, err := listener.Accept()
			if err != nil {
				return nil //nolint:nilerr // it was closed
			}
			relaying.Go(func() {
				defer front.Close()
				back, err := net.Dial("tcp", m.address)
				if err != nil {
					return
				}
				defer back.Close()
				defer context.AfterFunc(ctx, func() { front.Close() })()
				relaying.Go(func() { _, _ = io.Copy(back, front) })
				_, _ = io.CopyN(front, back, after())
			})
		}
	})
	return listener.Addr().String()
}

// The connection breaks again and again: between answers and in one, or before the first.
func TestManyIsBrokenOff(t *testing.T) {
	m := openMill(t)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	broken := 0
	c := m.client(m.cutting(func() int64 {
		mu.Lock()
		defer mu.Unlock()
		broken++
		return random.Int64N(100_000)
	}), client.Config{})
	answers, err := c.SubmitMany(t.Context(), echoes(6000))
	if err != nil {
		t.Fatal(err)
	}
	if mu.Lock(); broken < 4 {
		t.Errorf("%d connections were enough", broken)
	}
	mu.Unlock()
	m.wantEach(m.client("", client.Config{}), answers)
}

// What has an id, or a key, is there once, also if it is given to a call of its own.
func TestManyAgain(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	ctx := t.Context()
	tasks := []client.Task{
		{ID: "a", Kind: "echo", Args: 1},
		{IdempotencyKey: "b", Kind: "echo"},
		{ID: "c", Kind: "echo", Queue: "bulk", Delay: millrace.Duration(time.Hour)},
		{Kind: "echo", Delay: millrace.Duration(time.Hour)},
	}
	first, err := c.SubmitMany(ctx, tasks)
	if err != nil || first[0].ID != "a" || first[2].Queue != "bulk" || first[2].State != millrace.Scheduled || time.Until(first[2].NextAt) < 59*time.Minute {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := c.SubmitMany(ctx, tasks)
	for i, a := range again {
		if known := i < 3; err != nil || a.Replayed != known || known != (a.ID == first[i].ID) {
			t.Errorf("%d: %+v, %v", i, a, err)
		}
	}
	if r, err := c.Submit(ctx, tasks[0]); err != nil || r.ID != "a" || !r.Replayed || r.Kind != "echo" {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := c.Submit(ctx, tasks[1]); err != nil || r.ID != first[1].ID || !r.Replayed {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = c.Submit(ctx, client.Task{ID: "a", Kind: "echo", Args: 2})
	if p, ok := errors.AsType[*client.Problem](err); !ok || !errors.Is(err, millrace.ErrConflict) || p.Status != 409 {
		t.Error(err)
	}
	for _, bad := range []client.Task{
		{ID: "d", IdempotencyKey: "d", Kind: "echo"},
		{ID: "d.d", Kind: "echo"},
		{ID: "d", Kind: "echo", Args: make(chan int)},
		{Kind: "echo", Args: strings.Repeat("x", 2<<20)}, // more than a part
	} {
		answers, err := c.SubmitMany(ctx, []client.Task{bad, {ID: "a", Kind: "echo", Args: 1}})
		if !errors.Is(answers[0].Err, millrace.ErrInvalid) || answers[1].Err != nil || err == nil {
			t.Errorf("%+v, %v", answers, err)
		}
	}
}

// A line that the gateway cannot take just now is asked for again, without those that it
// took; and what does not change is said in the end.
func TestManyAsksAgain(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{} // by id
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		number := 0
		for line := range strings.Lines(string(body)) {
			number++
			var task struct{ ID string }
			if err := json.Unmarshal([]byte(line), &task); err != nil {
				t.Error(err)
			}
			asked[task.ID]++
			if task.ID == "full" || task.ID == "busy" && asked[task.ID] < 3 {
				fmt.Fprintf(w, `{"line":%d,"status":503,"type":"urn:millrace:problem:queue-full","error":"full"}`+"\n", number)
				continue
			}
			fmt.Fprintf(w, `{"line":%d,"status":202,"id":%q,"state":"pending"}`+"\n", number, task.ID)
		}
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Config{Patience: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers, err := c.SubmitMany(t.Context(), []client.Task{{ID: "one", Kind: "k"}, {ID: "busy", Kind: "k"}, {ID: "two", Kind: "k"}})
	if err != nil || answers[1].ID != "busy" || asked["one"] != 1 || asked["busy"] != 3 || asked["two"] != 1 {
		t.Errorf("%+v, %v, asked %v", answers, err, asked)
	}
	answers, err = c.SubmitMany(t.Context(), []client.Task{{ID: "three", Kind: "k"}, {ID: "full", Kind: "k"}})
	if !errors.Is(err, millrace.ErrQueueFull) || answers[0].Err != nil || asked["three"] != 1 || asked["full"] < 3 {
		t.Errorf("%+v, %v, asked %v", answers, err, asked)
	}
}

// Nobody is there: what was taken is answered, and no more is taken.
func TestManyWithoutAnswer(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{Patience: -1})
	took, answered := 0, 0
	tasks := func(yield func(client.Task) bool) {
		for ; ; took++ {
			if took == 12_000 {
				m.stop()
			}
			if !yield(client.Task{Kind: "fail", Queue: "bulk"}) {
				return
			}
		}
	}
	var last error
	for i, a := range c.SubmitSeq(t.Context(), tasks) {
		if i != answered || i < 5000 && a.Err != nil {
			t.Fatalf("%d: %v", i, a.Err)
		}
		if answered, last = i+1, a.Err; took-i > 5001 {
			t.Fatalf("%d are in memory", took-i)
		}
	}
	if !errors.Is(last, millrace.ErrUnavailable) || answered != took+1 || took > 16_000 {
		t.Errorf("took %d, answered %d, the last with %v", took, answered, last)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, cause)
	defer cancel()
	answers, err := m.client("", client.Config{}).SubmitMany(ctx, echoes(5010))
	if len(answers) != 5010 || !errors.Is(err, cause) || !errors.Is(answers[5009].Err, cause) {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	for range c.SubmitSeq(t.Context(), tasks) {
		break // who has seen enough stops
	}
}

func TestTogether(t *testing.T) {
	m := openMill(t)
	var asked int
	c := m.client(m.lossy(func(*http.Request) bool { asked++; return asked%2 == 1 }), client.Config{})
	ctx := t.Context()
	receipts, err := c.SubmitTogether(ctx, []client.Task{{ID: "a", Kind: "echo", Args: 0}, {Kind: "echo", Args: 1}})
	if err != nil || len(receipts) != 2 || receipts[0].ID != "a" || receipts[1].Kind != "echo" {
		t.Fatalf("%+v, %v", receipts, err)
	}
	for i, r := range receipts {
		if got, err := client.Result[int](ctx, c, r.ID); err != nil || got != i {
			t.Errorf("%d: %d, %v", i, got, err)
		}
	}
	for name, c2 := range map[string]struct {
		bad      client.Task
		err      error
		location string
	}{
		"taken":    {client.Task{ID: "a", Kind: "echo", Args: 9}, millrace.ErrConflict, "body.lines[2]"},
		"no kind":  {client.Task{ID: "x", Kind: "No Kind"}, millrace.ErrInvalid, "body.lines[2]"},
		"later":    {client.Task{ID: "x", Kind: "echo", Delay: millrace.Duration(time.Hour)}, millrace.ErrInvalid, "body.lines[2]"},
		"a key":    {client.Task{IdempotencyKey: "x", Kind: "echo"}, millrace.ErrInvalid, ""},
		"no args":  {client.Task{Kind: "echo", Args: make(chan int)}, millrace.ErrInvalid, ""},
		"the same": {client.Task{ID: "b", Kind: "echo"}, millrace.ErrInvalid, "body.lines[2]"},
	} {
		receipts, err := c.SubmitTogether(ctx, []client.Task{{ID: "b", Kind: "echo"}, c2.bad})
		if !errors.Is(err, c2.err) || receipts != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p, ok := errors.AsType[*client.Problem](err); ok != (c2.location != "") || ok && (len(p.Errors) != 1 || p.Errors[0].Location != c2.location) {
			t.Errorf("%s: %+v", name, p)
		}
		if _, err := c.Get(ctx, "b"); !errors.Is(err, millrace.ErrNotFound) {
			t.Errorf("%s: some of it is there: %v", name, err)
		}
	}
	if _, err := c.SubmitTogether(ctx, echoes(1001)); !errors.Is(err, millrace.ErrInvalid) {
		t.Error(err)
	}
	if none, err := c.SubmitTogether(ctx, nil); err != nil || none != nil {
		t.Error(none, err)
	}
}
