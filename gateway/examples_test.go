package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	s := shop{t: t, store: store, orders: orders.New(store, orders.Config{})}
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

// reader tells a story. What was made up when it was written down has other names now.
type reader struct {
	t    *testing.T
	url  string
	made map[string]string
}

// madeUp are ids that a server makes.
var madeUp = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\bdemo-[0-9a-z]{6}\b`)

// shortened is what would tell of the machine on which the examples were written down.
var shortened = map[*regexp.Regexp]string{
	regexp.MustCompile(`"host": "[^"]*"`):   `"host": "shop-1"`,
	regexp.MustCompile(`"stacks": "(?:[^"\\]|\\.)*"`): `"stacks": "goroutine 57 [sleep]:\ntime.Sleep(0x3b9aca00)\nmain.charge(0x1f3a20)\n\t/src/shop/charge.go:42 +0x1c\n"`,
}

func (r *reader) now(text string) string {
	return madeUp.ReplaceAllStringFunc(text, func(was string) string {
		if is, known := r.made[was]; known {
			return is
		}
		return was
	})
}

func (r *reader) replay(e *example, shown map[string]shownOperation) {
	r.t.Helper()
	o, found := shown[e.operation]
	if !found {
		r.t.Fatalf("%s is of %s, which is no operation", e.name, e.operation)
	}
	call := o.call(r.t, e.name)
	r.wantShown(e, o, call)
	e.call.start, e.call.body = r.now(e.call.start), r.now(e.call.body)
	call.start, call.body = r.now(call.start), r.now(call.body)
	var answer exampleMessage
	var err error
	// What is done in the background may take a moment.
	for range 100 {
		answer = r.send(call, e.answer)
		if err = r.same(e.answer, answer); err == nil || *update || !strings.HasPrefix(call.start, "GET ") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if *update && err != nil {
		was, is := madeUp.FindAllString(e.answer.body, -1), madeUp.FindAllString(answer.body, -1)
		for i := range min(len(was), len(is)) {
			r.made[was[i]] = is[i]
		}
		for told, instead := range shortened {
			answer.body = told.ReplaceAllLiteralString(answer.body, instead)
		}
		e.answer = answer
	} else if err != nil {
		r.t.Errorf("%s (%s) is answered with\n%s\n%v\n%s", e.name, call.start, answer.start, answer.header, answer.body)
		r.t.Errorf("which is not what gateway/examples has: %v", err)
	}
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
		if call.get(h[0]) != h[1] {
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

// toldHeaders are those of an answer that an example tells.
var toldHeaders = []string{"Content-Type", "Location", "ETag", "Retry-After", "Allow"}

func (r *reader) send(call, expected exampleMessage) exampleMessage {
	r.t.Helper()
	method, target, _ := strings.Cut(call.start, " ")
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.url+target, strings.NewReader(call.body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range call.header {
		req.Header.Set(h[0], h[1])
	}
	if req.Header.Get("webhook-signature") != "" { // of long ago
		at := strconv.FormatInt(time.Now().Unix(), 10)
		req.Header.Set("webhook-timestamp", at)
		req.Header.Set("webhook-signature", signedBy(providerKey, req.Header.Get("webhook-id"), at, call.body))
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	m := exampleMessage{start: "HTTP " + strconv.Itoa(response.StatusCode)}
	for _, name := range toldHeaders {
		if value := response.Header.Get(name); value != "" && value != mediaJSON {
			m.header = append(m.header, [2]string{name, value})
		}
	}
	m.body = readAnswer(r.t, response, strings.Count(expected.body, "\n")+1)
	return m
}

// readAnswer reads a body to its end; of a stream of events, which has none, so many
// lines.
func readAnswer(t *testing.T, response *http.Response, lines int) string {
	t.Helper()
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(response.Header.Get("Content-Type"), "json") && response.Header.Get("Content-Type") != mediaLines {
			return indented(body)
		}
		return strings.TrimSpace(string(body))
	}
	if lines < 2 {
		lines = 8 // when it is written down first
	}
	var text strings.Builder
	scan := bufio.NewScanner(response.Body)
	for range lines {
		if !scan.Scan() {
			break
		}
		text.WriteString(scan.Text() + "\n")
	}
	return strings.TrimSpace(text.String())
}

// same says how an answer differs from what the example has.
func (r *reader) same(want, got exampleMessage) error {
	if want.start != got.start {
		return fmt.Errorf("it is %s, not %s", got.start, want.start)
	}
	if len(want.header) != len(got.header) {
		return fmt.Errorf("headers are %v, not %v", got.header, want.header)
	}
	for i, h := range want.header {
		if g := got.header[i]; g[0] != h[0] || h[0] != "ETag" && !r.alike("", h[1], g[1]) {
			return fmt.Errorf("headers are %v, not %v", got.header, want.header)
		}
	}
	var x, y any
	if json.Unmarshal([]byte(want.body), &x) == nil && json.Unmarshal([]byte(got.body), &y) == nil {
		return r.compare("", "body", x, y)
	}
	wantLines, gotLines := strings.Split(want.body, "\n"), strings.Split(got.body, "\n")
	if len(wantLines) != len(gotLines) {
		return fmt.Errorf("it has %d lines, not %d", len(gotLines), len(wantLines))
	}
	for i, line := range wantLines {
		where, x, y := fmt.Sprintf("line %d", i+1), any(nil), any(nil)
		w, g := strings.TrimPrefix(line, "data: "), strings.TrimPrefix(gotLines[i], "data: ")
		if json.Unmarshal([]byte(w), &x) != nil || json.Unmarshal([]byte(g), &y) != nil {
			x, y = line, gotLines[i]
		}
		key := ""
		if field, _, _ := strings.Cut(line, ": "); (field == "id" || field == "retry") && strings.HasPrefix(gotLines[i], field+": ") {
			key = "sequence"
		}
		if err := r.compare(key, where, x, y); err != nil {
			return err
		}
	}
	return nil
}

// volatile are members that differ from one time to another, whatever they say.
var volatile = []string{"sequence", "host", "pid", "memory_bytes", "goroutines", "stacks", "stack", "next_cursor", "bytes", "looked", "instance"}

func (r *reader) compare(key, where string, want, got any) error {
	if slices.Contains(volatile, key) && reflect.TypeOf(want) == reflect.TypeOf(got) {
		return nil
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(g))) {
			return fmt.Errorf("%s is %v, not %v", where, got, want)
		}
		for _, name := range slices.Sorted(maps.Keys(w)) {
			if err := r.compare(name, where+"."+name, w[name], g[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) != len(g) {
			return fmt.Errorf("%s is %v, not %v", where, got, want)
		}
		for i := range w {
			if err := r.compare(key, fmt.Sprintf("%s[%d]", where, i), w[i], g[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if g, ok := got.(string); ok && r.alike(key, w, g) {
			return nil
		}
	default:
		if reflect.DeepEqual(want, got) {
			return nil
		}
	}
	return fmt.Errorf("%s is %v, not %v", where, got, want)
}

// alike says whether two texts differ in what is made up only, and learns what that
// is now.
func (r *reader) alike(_, want, got string) bool {
	if _, err := time.Parse(time.RFC3339Nano, want); err == nil {
		_, err := time.Parse(time.RFC3339Nano, got)
		return err == nil
	}
	was, is := madeUp.FindAllString(want, -1), madeUp.FindAllString(got, -1)
	if len(was) != len(is) {
		return false
	}
	for i := range was {
		if known, ok := r.made[was[i]]; ok && known != is[i] {
			return false
		}
		r.made[was[i]] = is[i]
	}
	return r.now(want) == got
}

// indented is JSON for people to read.
func indented(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return strings.TrimSpace(string(body))
	}
	return strings.TrimSpace(b.String())
}
