package gateway

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// The examples of the documentation: calls and their answers, as they go over the
// wire. Each file is a story that is told from its beginning, on a server on which
// nothing has happened yet, and the tests do just that.
//
//	### submit-task: In half a minute
//	POST /v1/tasks
//	Idempotency-Key: welcome-42
//
//	{"kind": "mail.send"}
//
//	HTTP 202
//	Location: /v1/tasks/019ac3d4-5a38-7de2-8a1c-0f6a5a8b3c11
//
//	{"id": "019ac3d4-5a38-7de2-8a1c-0f6a5a8b3c11"}
//
// To add one write down the call, and let the answer be told:
//
//	go test ./gateway -run TestExamples -update
//
//go:embed examples/*.http
var exampleFiles embed.FS

// example is a call of an operation, and its answer.
type example struct {
	name      string // its story, and its place there
	operation string
	title     string // empty: what the operation's summary says
	call      exampleMessage
	answer    exampleMessage
}

// exampleMessage is a request, or a response.
type exampleMessage struct {
	start  string // "POST /v1/tasks", or "HTTP 202"
	header [][2]string
	body   string
}

// exampleStories are all examples, by the name of their story.
func exampleStories() (map[string][]*example, error) {
	files, err := fs.Glob(exampleFiles, "examples/*.http")
	if err != nil {
		return nil, err
	}
	stories := map[string][]*example{}
	for _, file := range files {
		text, err := exampleFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(file, "examples/"), ".http")
		if stories[name], err = readExamples(name, string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return stories, nil
}

func readExamples(story, text string) ([]*example, error) {
	var all []*example
	for part := range strings.SplitSeq("\n"+text, "\n### ") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		head, rest, _ := strings.Cut(part, "\n")
		call, answer, _ := strings.Cut(rest, "\n\nHTTP ")
		e := &example{call: readMessage(call)}
		if answer != "" {
			e.answer = readMessage("HTTP " + answer)
		}
		e.operation, e.title, _ = strings.Cut(head, ": ")
		if len(strings.Fields(e.call.start)) != 2 {
			return nil, fmt.Errorf("%s: %q is no call", head, e.call.start)
		}
		e.name = fmt.Sprintf("%s-%02d", story, len(all)+1)
		all = append(all, e)
	}
	return all, nil
}

func readMessage(text string) (m exampleMessage) {
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	m.start, m.body = lines[0], strings.TrimSpace(body)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		m.header = append(m.header, [2]string{name, value})
	}
	return m
}

// String is e as its file has it.
func (e *example) String() string {
	var b strings.Builder
	b.WriteString("### " + e.operation)
	if e.title != "" {
		b.WriteString(": " + e.title)
	}
	for _, m := range []exampleMessage{e.call, e.answer} {
		b.WriteString("\n" + m.start + "\n")
		for _, h := range m.header {
			b.WriteString(h[0] + ": " + h[1] + "\n")
		}
		if m.body != "" {
			b.WriteString("\n" + m.body + "\n")
		}
	}
	return b.String()
}

func (m exampleMessage) get(name string) string {
	for _, h := range m.header {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

// media is what the body is of.
func (m exampleMessage) media() string {
	if media := m.get("Content-Type"); media != "" {
		return media
	}
	return mediaJSON
}

// value is the body as the description shows it.
func (m exampleMessage) value() any {
	if media := m.media(); media == mediaJSON || media == mediaProblem {
		return json.RawMessage(m.body)
	}
	return m.body + "\n"
}

func (m exampleMessage) status() string { return strings.TrimPrefix(m.start, "HTTP ") }

// describeExamples adds the examples to the description of the operations that there
// are: one has the same name in the parameters, the body and the answer.
func describeExamples(description *huma.OpenAPI) error {
	stories, err := exampleStories()
	if err != nil {
		return err
	}
	for _, story := range stories {
		for _, e := range story {
			if path, op := operationOf(description, e.operation); op != nil {
				e.describe(path, op)
			}
		}
	}
	return nil
}

func operationOf(description *huma.OpenAPI, id string) (path string, op *huma.Operation) {
	for path, item := range description.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil && op.OperationID == id {
				return path, op
			}
		}
	}
	return "", nil
}

// describe adds what fits the operation. That all of it does is for the tests to tell.
func (e *example) describe(path string, op *huma.Operation) {
	method, target, _ := strings.Cut(e.call.start, " ")
	address, err := url.Parse(target)
	if err != nil || method != op.Method || !reaches(path, address) {
		return
	}
	for _, p := range op.Parameters {
		if text, said := e.parameter(p, path, address); said {
			p.Example = nil // there may be one or many
			add(&p.Examples, e.name, &huma.Example{Summary: e.title, Value: valueOf(p.Schema, text)})
		}
	}
	if op.RequestBody != nil {
		show(op.RequestBody.Content, e, e.call)
	}
	response := op.Responses[e.answer.status()]
	if response == nil {
		response = op.Responses["default"]
	}
	if response != nil {
		show(response.Content, e, e.answer)
	}
}

// show adds the body of a message to what the description says of its media type.
func show(content map[string]*huma.MediaType, e *example, m exampleMessage) {
	if media := content[m.media()]; media != nil && m.body != "" {
		media.Example = nil // there may be one or many
		add(&media.Examples, e.name, &huma.Example{Summary: e.title, Value: m.value()})
	}
}

// reaches says whether a path of the description is that of the address.
func reaches(path string, address *url.URL) bool {
	want, have := strings.Split(path, "/"), strings.Split(address.EscapedPath(), "/")
	return slices.EqualFunc(want, have, func(w, h string) bool { return w == h || strings.HasPrefix(w, "{") })
}

// parameter is what the call says for p.
func (e *example) parameter(p *huma.Param, path string, address *url.URL) (text string, said bool) {
	switch p.In {
	case "path":
		i := slices.Index(strings.Split(path, "/"), "{"+p.Name+"}")
		parts := strings.Split(address.EscapedPath(), "/")
		if i < 0 || i >= len(parts) {
			return "", false
		}
		text, err := url.PathUnescape(parts[i])
		return text, err == nil
	case "query":
		return address.Query().Get(p.Name), address.Query().Has(p.Name)
	default:
		text = e.call.get(p.Name)
		return text, text != ""
	}
}

// valueOf is text as the JSON value that it stands for.
func valueOf(schema *huma.Schema, text string) any {
	if schema != nil && slices.Contains([]string{huma.TypeInteger, huma.TypeNumber, huma.TypeBoolean}, schema.Type) {
		return json.RawMessage(text)
	}
	return text
}

func add(examples *map[string]*huma.Example, name string, e *huma.Example) {
	if *examples == nil {
		*examples = map[string]*huma.Example{}
	}
	(*examples)[name] = e
}
