package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reader tells a story. What was made up when it was written down has other names now.
type reader struct {
	t    *testing.T
	url  string
	made map[string]string
}

// madeUp are ids that a server makes.
var madeUp = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\bdemo-[0-9a-z]{6}\b|\bmr_[a-z2-7]{10}_[0-9a-f]{64}\b|\b[a-z2-7]{10}\b`)

// shortened is what would tell of the machine on which the examples were written down.
var shortened = map[*regexp.Regexp]string{
	regexp.MustCompile(`"host": "[^"]*"`):             `"host": "shop-1"`,
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
	call.start, call.body = r.now(call.start), r.now(call.body)
	var answer exampleMessage
	var err error
	// What is done in the background may take a moment.
	patience := 100
	if *update {
		patience = 20
	}
	for range patience {
		answer = r.send(call, e.answer)
		if err = r.same(e.answer, answer); err == nil || !strings.HasPrefix(call.start, "GET ") {
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
		for was, is := range r.made { // what has a name in the file keeps it
			answer.body = strings.ReplaceAll(answer.body, is, was)
			for i := range answer.header {
				answer.header[i][1] = strings.ReplaceAll(answer.header[i][1], is, was)
			}
		}
		e.answer = answer
	} else if err != nil {
		r.t.Errorf("%s (%s) is answered with\n%s\n%v\n%s", e.name, call.start, answer.start, answer.header, answer.body)
		r.t.Errorf("which is not what gateway/examples has: %v", err)
	}
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
