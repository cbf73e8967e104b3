package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"millrace"
	"millrace/client"
)

func readAll(resp *http.Response) string {
	data, _ := io.ReadAll(resp.Body)
	return string(data)
}

type letter struct {
	To string `json:"to"`
}

func TestSubmit(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	r, err := c.Submit(t.Context(), client.Task{Kind: "echo", Args: letter{"ada"}})
	if err != nil || r.ID == "" || r.Kind != "echo" || r.Queue != "default" || r.State != millrace.Pending || r.Replayed {
		t.Fatalf("%+v, %v", r, err)
	}
	if got, err := client.Result[letter](t.Context(), c, r.ID); err != nil || got.To != "ada" {
		t.Errorf("%+v, %v", got, err)
	}
	if record, err := c.Get(t.Context(), r.ID); err != nil || record.State != millrace.Succeeded || len(record.Attempts) != 1 || record.FinishedAt.IsZero() {
		t.Errorf("%+v, %v", record, err)
	}
	// All that can be said of a task arrives.
	all := client.Task{
		Kind: "echo", Args: 7, Queue: "bulk", Delay: millrace.Duration(time.Hour), IdempotencyKey: "one",
		Options: millrace.Options{
			MaxAttempts: 2, Backoff: &millrace.Backoff{Delay: millrace.Duration(time.Second)}, Timeout: millrace.Duration(time.Minute),
			ResultTTL: millrace.Duration(time.Hour), Tags: []string{"a", "b"},
		},
	}
	r, err = c.Submit(t.Context(), all)
	if err != nil || r.Queue != "bulk" || r.State != millrace.Scheduled || time.Until(r.NextAt) < 59*time.Minute {
		t.Errorf("%+v, %v", r, err)
	}
	if again, err := c.Submit(t.Context(), all); err != nil || again.ID != r.ID || !again.Replayed {
		t.Errorf("again: %+v, %v", again, err)
	}
	for listed, err := range c.List(t.Context(), client.Query{State: millrace.Scheduled}) {
		if err != nil || listed.ID != r.ID || len(listed.Tags) != 2 {
			t.Errorf("%+v, %v", listed, err)
		}
	}
	if record, err := c.Cancel(t.Context(), r.ID); err != nil || record.State != millrace.Cancelled {
		t.Errorf("%+v, %v", record, err)
	}
	if _, err := client.Result[int](t.Context(), c, r.ID); !errors.Is(err, millrace.ErrCancelled) {
		t.Error(err)
	}
	// Nothing is a result too, and one that fits no type is an error.
	r, err = c.Submit(t.Context(), client.Task{Kind: "echo"})
	if _, wrong := client.Result[letter](t.Context(), c, r.ID); err != nil || wrong != nil {
		t.Error(err, wrong)
	}
	r, err = c.Submit(t.Context(), client.Task{Kind: "echo", Args: "text"})
	if _, wrong := client.Result[letter](t.Context(), c, r.ID); err != nil || wrong == nil {
		t.Error(err, wrong)
	}
}

func TestErrors(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	ctx := t.Context()
	problem := func(err, want error, status int) client.Problem {
		t.Helper()
		p, ok := errors.AsType[*client.Problem](err)
		if !ok || !errors.Is(err, want) || p.Status != status || p.Title == "" {
			t.Errorf("%v is not %v", err, want)
			return client.Problem{}
		}
		return *p
	}
	_, err := c.Submit(ctx, client.Task{Kind: "No Kind", Options: millrace.Options{MaxAttempts: -1}})
	if p := problem(err, millrace.ErrInvalid, 422); len(p.Errors) != 2 || !strings.Contains(err.Error(), "max_attempts: ") {
		t.Errorf("%+v", p)
	}
	_, err = c.Submit(ctx, client.Task{Kind: "echo", Args: make(chan int)})
	if !errors.Is(err, millrace.ErrInvalid) {
		t.Error(err)
	}
	_, err = c.Submit(ctx, client.Task{Kind: "echo", Args: strings.Repeat("x", 1<<20)})
	problem(err, millrace.ErrInvalid, 413)
	_, err = c.Get(ctx, "nobody")
	problem(err, millrace.ErrNotFound, 404)
	_, err = c.Wait(ctx, "nobody")
	problem(err, millrace.ErrNotFound, 404)
	_, err = c.Get(ctx, "a/b")
	problem(err, millrace.ErrInvalid, 422)
	problem(c.CancelSchedule(ctx, "nobody"), millrace.ErrNotFound, 404)
	for _, err := range c.List(ctx, client.Query{Kind: "No Kind"}) {
		problem(err, millrace.ErrInvalid, 422)
	}

	// The same key for something else.
	r, err := c.Submit(ctx, client.Task{Kind: "fail", IdempotencyKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Submit(ctx, client.Task{Kind: "echo", IdempotencyKey: "k"})
	problem(err, millrace.ErrConflict, 422)

	// One that failed, and cannot be called off any more.
	_, err = client.Result[letter](ctx, c, r.ID)
	if failed, ok := errors.AsType[*client.TaskError](err); !ok || failed.Record.State != millrace.Failed || !strings.Contains(err.Error(), "no luck") {
		t.Error(err)
	}
	_, err = c.Cancel(ctx, r.ID)
	if p := problem(err, millrace.ErrConflict, 409); p.State != "failed" {
		t.Errorf("%+v", p)
	}
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://127.0.0.1", "http://"} {
		if _, err := client.New(base, client.Config{}); err == nil {
			t.Errorf("%q is a URL", base)
		}
	}
	// What is not Millrace.
	elsewhere := m.client(m.address+"/nowhere", client.Config{})
	_, err = elsewhere.Get(ctx, "a")
	if errors.Is(err, millrace.ErrNotFound) || err == nil {
		t.Errorf("a path that is not there says nothing about a task: %v", err)
	}
}

// Nobody is there, for longer than patience or the caller's time lasts.
func TestNobodyAnswers(t *testing.T) {
	m := openMill(t)
	m.stop()
	_, err := m.client("", client.Config{Patience: -1}).Submit(t.Context(), client.Task{Kind: "echo"})
	if !errors.Is(err, millrace.ErrUnavailable) {
		t.Error(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, cause)
	defer cancel()
	_, err = m.client("", client.Config{}).Submit(ctx, client.Task{Kind: "echo"})
	if !errors.Is(err, cause) || !errors.Is(err, millrace.ErrUnavailable) {
		t.Error(err)
	}
}

// Tasks are submitted while the gateway goes away and comes back: each is there once.
func TestRestarts(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{Parallel: 8})
	tasks := make([]client.Task, 300)
	for i := range tasks {
		tasks[i] = client.Task{Kind: "echo", Args: i, IdempotencyKey: strconv.Itoa(i)} // so each has a request of its own
	}
	restarted := make(chan bool)
	go func() {
		for n := range 3 {
			for m.count() < 50*(n+1) {
				time.Sleep(time.Millisecond)
			}
			m.stop()
			m.serve()
		}
		close(restarted)
	}()
	answers, err := c.SubmitMany(t.Context(), tasks)
	if err != nil {
		t.Fatal(err)
	}
	<-restarted
	var ids []string
	for i, a := range answers {
		if got, err := client.Result[int](t.Context(), c, a.ID); err != nil || got != i {
			t.Errorf("task %d: %d, %v", i, got, err)
		}
		ids = append(ids, a.ID)
	}
	m.wantOnce(ids)
}

// The first answers to each request are lost: what was asked for is done once.
func TestLostAnswers(t *testing.T) {
	m := openMill(t)
	var asked atomic.Int32
	ctx := t.Context()
	c := m.client(m.lossy(func(*http.Request) bool { return asked.Add(1)%3 != 0 }), client.Config{})
	r, err := c.Submit(ctx, client.Task{Kind: "echo", Args: 1})
	if err != nil || !r.Replayed {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := c.Wait(ctx, r.ID); err != nil {
		t.Error(err)
	}
	if _, err := c.PutSchedule(ctx, millrace.Schedule{Name: "s", Kind: "echo", Every: millrace.Duration(time.Hour)}); err != nil {
		t.Error(err)
	}
	run, err := c.RunSchedule(ctx, "s", "")
	if err != nil {
		t.Error(err)
	}
	if _, err := c.Wait(ctx, run.ID); err != nil {
		t.Error(err)
	}
	if err := c.CancelSchedule(ctx, "s"); err != nil {
		t.Error(err)
	}
	order, err := c.PlaceOrder(ctx, client.Placement{Currency: "GBP", Items: []client.Line{{SKU: "A", Quantity: 1, UnitPriceMinor: 250}}})
	if err != nil {
		t.Error(err)
	}
	if _, err := c.Wait(ctx, order.TaskID); err != nil {
		t.Error(err)
	}
	m.wantOnce([]string{r.ID, run.ID})
	if asked.Load() < 18 {
		t.Errorf("asked %d times only", asked.Load())
	}
}

func TestManyWithRefused(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	answers, err := c.SubmitMany(t.Context(), []client.Task{{Kind: "echo"}, {Kind: "No Kind"}, {Kind: "echo"}, {Kind: ""}})
	if !errors.Is(err, millrace.ErrInvalid) || !strings.HasPrefix(err.Error(), "2 of 4 tasks were not taken: task 1: ") {
		t.Error(err)
	}
	for i, a := range answers {
		if refused := i%2 == 1; refused != errors.Is(a.Err, millrace.ErrInvalid) || refused != (a.ID == "") {
			t.Errorf("%d: %+v", i, a)
		}
	}
	if none, err := c.SubmitMany(t.Context(), nil); err != nil || len(none) != 0 {
		t.Error(none, err)
	}
}

func TestSchedules(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	ctx := t.Context()
	want := millrace.Schedule{
		Name: "daily", Kind: "echo", Args: json.RawMessage(`{"to":"ada"}`), Cron: "0 9 * * *", Zone: "Europe/Berlin", Overlap: millrace.OverlapSkip,
		Options: millrace.Options{Backoff: &millrace.Backoff{Delay: millrace.Duration(time.Second)}},
	}
	put, err := c.PutSchedule(ctx, want)
	if err != nil || put.Cron != want.Cron || put.Zone != want.Zone || put.NextAt.IsZero() || put.Backoff.Policy != millrace.Fixed {
		t.Fatalf("%+v, %v", put, err)
	}
	if want.Backoff.Policy != "" {
		t.Error("what was given was changed")
	}
	if _, err := c.PutSchedule(ctx, millrace.Schedule{Name: "once", Kind: "echo", At: time.Now().Add(time.Hour)}); err != nil {
		t.Error(err)
	}
	got, err := c.Schedule(ctx, "daily")
	if err != nil || len(got.Next) != 5 || !bytes.Equal(got.Args, want.Args) {
		t.Errorf("%+v, %v", got, err)
	}
	if all, err := c.Schedules(ctx); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	first, err := c.RunSchedule(ctx, "daily", "now")
	if err != nil {
		t.Error(err)
	}
	if again, err := c.RunSchedule(ctx, "daily", "now"); err != nil || again.ID != first.ID {
		t.Errorf("%+v, %v", again, err)
	}
	if got, err := client.Result[letter](ctx, c, first.ID); err != nil || got.To != "ada" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.PutSchedule(ctx, millrace.Schedule{Name: "odd", Kind: "echo"}); !errors.Is(err, millrace.ErrInvalid) {
		t.Error(err)
	}
	if err := c.CancelSchedule(ctx, "daily"); err != nil {
		t.Error(err)
	}
}

func TestOrders(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	ctx := t.Context()
	p := client.Placement{
		OrderID: "mine", Reference: "1001", CustomerID: "17850", Country: "France", Currency: "GBP", Date: "1/12/2010",
		Items: []client.Line{{SKU: "85123A", Description: "HOLDER", Quantity: 6, UnitPriceMinor: 255}},
	}
	r, err := c.PlaceOrder(ctx, p)
	if err != nil || r.OrderID != "mine" || r.Status != "placed" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := c.Wait(ctx, r.TaskID); err != nil {
		t.Fatal(err)
	}
	if again, err := c.PlaceOrder(ctx, p); err != nil || again.Status != "awaiting_payment" {
		t.Errorf("%+v, %v", again, err)
	}
	o, err := c.Order(ctx, "mine")
	if err != nil || o.State != "awaiting_payment" || o.TotalMinor != 1530 || o.Items[0] != p.Items[0] || o.PayBy.IsZero() || len(o.History) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	p.Currency = "EUR"
	if _, err := c.PlaceOrder(ctx, p); !errors.Is(err, millrace.ErrConflict) {
		t.Error(err)
	}
	if _, err := c.PlaceOrder(ctx, client.Placement{Currency: "GBP"}); !errors.Is(err, millrace.ErrInvalid) {
		t.Error(err)
	}
	if _, err := c.Order(ctx, "nobody"); !errors.Is(err, millrace.ErrNotFound) {
		t.Error(err)
	}
}

// What the gateway shows of an order, the client knows.
func TestOrderIsKnown(t *testing.T) {
	m := openMill(t)
	c := m.client("", client.Config{})
	defer http.DefaultClient.CloseIdleConnections()
	put, err := http.NewRequest(http.MethodPut, "http://"+m.address+"/v1/stock/A", strings.NewReader(`{"on_hand":2}`))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", "application/json")
	if resp, err := http.DefaultClient.Do(put); err != nil || resp.Body.Close() != nil {
		t.Fatal(err)
	}
	r, err := c.PlaceOrder(t.Context(), client.Placement{Currency: "GBP", Items: []client.Line{{SKU: "A", Quantity: 1, UnitPriceMinor: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), r.TaskID); err != nil {
		t.Fatal(err)
	}
	url := "http://" + m.address + "/v1/orders/" + r.OrderID
	for _, reference := range []string{"", "p", "q"} {
		if reference != "" {
			resp, err := http.Post(url+"/payment", "application/json", strings.NewReader(`{"reference":"`+reference+`","amount_minor":1,"currency":"GBP","customer_id":""}`))
			if err != nil || resp.Body.Close() != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(resp.Body)
		d.DisallowUnknownFields()
		var o client.Order
		if err := d.Decode(&o); err != nil || o.TotalMinor != 1 {
			t.Errorf("%+v, %v", o, err)
		}
		resp.Body.Close()
	}
}
