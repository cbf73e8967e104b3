package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"millrace"
	"millrace/orders"
	"millrace/processor"
	"millrace/scheduler"
)

var update = flag.Bool("update", false, "write the answers of the examples, and the errors in docs/api.md, down as they are")

// TestExamples tells each story from its beginning, on a server of its own. What the
// examples say is what the server says, but for times, ids that are made up, and the
// like.
func TestExamples(t *testing.T) {
	for _, name := range storyNames(t) {
		t.Run(name, func(t *testing.T) {
			story := told(t)[name]
			r := &reader{t: t, url: openDemo(t), made: map[string]string{}}
			shown := described(t, r.url)
			for _, e := range story {
				r.replay(e, shown)
			}
			if *update {
				text := make([]string, len(story))
				for i, e := range story {
					text[i] = e.String()
				}
				if err := os.WriteFile("examples/"+name+".http", []byte(strings.Join(text, "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestEveryCallHasAnExample is for who adds an operation, and forgets to show it.
func TestEveryCallHasAnExample(t *testing.T) {
	shown := map[string]bool{}
	for _, story := range told(t) {
		for _, e := range story {
			shown[e.operation] = true
		}
	}
	for id := range described(t, openDemo(t)) {
		if !shown[id] {
			t.Errorf("%s has no example: write one call in gateway/examples and run go test ./gateway -run TestExamples -update", id)
		}
		delete(shown, id)
	}
	for id := range shown {
		t.Errorf("gateway/examples has %s, which is no operation", id)
	}
}

func TestExamplesReadAsWritten(t *testing.T) {
	for name, story := range told(t) {
		text := make([]string, len(story))
		for i, e := range story {
			text[i] = e.String()
		}
		file, err := exampleFiles.ReadFile("examples/" + name + ".http")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(text, "\n"); got != string(file) && !*update {
			t.Errorf("%s is read as\n%s", name, got)
		}
	}
	if _, err := readExamples("x", "### no-call\n{}\n"); err == nil {
		t.Error("an example without a call is taken")
	}
}

func storyNames(t *testing.T) []string { return slices.Sorted(maps.Keys(told(t))) }

func told(t *testing.T) map[string][]*example {
	t.Helper()
	stories, err := exampleStories()
	if err != nil {
		t.Fatal(err)
	}
	return stories
}

// openDemo starts all that Millrace is, for one story.
func openDemo(t *testing.T) (address string) {
	store := newStore(t)
	s := shop{t: t, store: store, orders: orders.New(store, orders.Config{ByHand: true})}
	g, err := New(store, Config{Listen: "127.0.0.1:0", Orders: s.orders, PaymentSecrets: []string{providerSecret}, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	p := processor.New(store, processor.Config{Worker: "demo", Version: "1.0.0", Concurrency: 4})
	processor.Handle(p, "mail.send", func(context.Context, millrace.Task[json.RawMessage]) (map[string]bool, error) {
		return map[string]bool{"sent": true}, nil
	}, processor.Kind{})
	processor.Handle(p, "report.daily", func(_ context.Context, task millrace.Task[struct{ Printer string }]) (map[string]int, error) {
		if task.Args.Printer == "" {
			return nil, millrace.Permanent(errors.New("printer a is on fire"))
		}
		return map[string]int{"pages": 12}, nil
	}, processor.Kind{})
	s.orders.Register(p)
	s.run(g.Run)
	s.run(p.Run)
	s.run(scheduler.New(store, scheduler.Config{}).Run)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return "http://" + g.Addr().String()
}

// described are the operations that the server describes.
func described(t *testing.T, server string) map[string]shownOperation {
	t.Helper()
	response, err := http.Get(server + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the description is %s", response.Status)
	}
	var doc struct {
		Paths map[string]map[string]shownOperation
	}
	if err := json.NewDecoder(response.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	all := map[string]shownOperation{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			o.path, o.method = path, strings.ToUpper(method)
			all[o.OperationID] = o
		}
	}
	return all
}

// shownOperation is an operation as readers of the description see it.
type shownOperation struct {
	path, method string
	OperationID  string
	Parameters   []struct {
		Name, In string
		Examples map[string]struct{ Value json.RawMessage }
	}
	RequestBody shownBody
	Responses   map[string]shownBody
}

type shownBody struct {
	Content map[string]struct {
		Examples map[string]struct{ Value json.RawMessage }
	}
}

// call is the example's request, made of nothing but what the description shows.
func (o shownOperation) call(t *testing.T, name string) (m exampleMessage) {
	t.Helper()
	path, query := o.path, url.Values{}
	for _, p := range o.Parameters {
		shown, found := p.Examples[name]
		if !found {
			continue
		}
		value := text(t, shown.Value)
		switch p.In {
		case "path":
			path = strings.Replace(path, "{"+p.Name+"}", url.PathEscape(value), 1)
		case "query":
			query.Set(p.Name, value)
		default:
			m.header = append(m.header, [2]string{p.Name, value})
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	m.start = o.method + " " + path
	for media, content := range o.RequestBody.Content {
		if shown, found := content.Examples[name]; found {
			m.header = append(m.header, [2]string{"Content-Type", media})
			m.body = text(t, shown.Value)
		}
	}
	return m
}

// text is a string as it is, and other JSON as it is written.
func text(t *testing.T, value json.RawMessage) string {
	t.Helper()
	if !strings.HasPrefix(string(value), `"`) {
		return string(value)
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// wantShown fails the test unless the description has all of the call and the answer.
func (r *reader) wantShown(e *example, o shownOperation, call exampleMessage) {
	r.t.Helper()
	method, target, _ := strings.Cut(e.call.start, " ")
	want, err := url.Parse(target)
	if err != nil {
		r.t.Fatal(err)
	}
	_, shownTarget, _ := strings.Cut(call.start, " ")
	got, err := url.Parse(shownTarget)
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.HasPrefix(call.start, method+" ") || want.Path != got.Path || !reflect.DeepEqual(want.Query(), got.Query()) {
		r.t.Errorf("%s is %s, and described as %s", e.name, e.call.start, call.start)
	}
	for _, h := range e.call.header {
		if h[0] != "Authorization" && call.get(h[0]) != h[1] { // that is described as the operation's security
			r.t.Errorf("%s has %s: %s, and is described with %q", e.name, h[0], h[1], call.get(h[0]))
		}
	}
	if !sameText(e.call.body, call.body) {
		r.t.Errorf("%s has the body\n%s\nand is described with\n%s", e.name, e.call.body, call.body)
	}
	response, found := o.Responses[e.answer.status()]
	if !found {
		response = o.Responses["default"]
	}
	answer := response.Content[e.answer.media()].Examples[e.name]
	if !*update && !sameText(e.answer.body, text(r.t, answer.Value)) {
		r.t.Errorf("%s is answered with %s and %s, which its operation does not say that it may be", e.name, e.answer.start, e.answer.media())
	}
}

func sameText(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil {
		return reflect.DeepEqual(x, y)
	}
	return strings.TrimSpace(a) == strings.TrimSpace(b)
}
