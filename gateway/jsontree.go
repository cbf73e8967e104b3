package gateway

import (
	"encoding/json"
	"strings"
)

// jsonTree reads a checked JSON text into the shape that huma validates. It
// serves one purpose and is several times as fast as encoding/json: strings and
// numbers are pieces of the one copy of the text.
//
// Objects become map[any]any, since huma matches the keys of a map[string]any
// without regard to case: it would check "kind" and encoding/json then take
// "KIND". Numbers stay text, so the largest loses nothing.
type jsonTree struct {
	text string
	pos  int
}

func (t *jsonTree) value() any {
	switch t.peek() {
	case '{':
		return t.object()
	case '[':
		return t.array()
	case '"':
		return t.str()
	case 't':
		t.pos += len("true")
		return true
	case 'f':
		t.pos += len("false")
		return false
	case 'n':
		t.pos += len("null")
		return nil
	default:
		return t.number()
	}
}

func (t *jsonTree) object() any {
	m := make(map[any]any)
	for t.more('}') {
		t.peek()
		key := t.str()
		t.peek()
		t.pos++ // the colon
		m[key] = t.value()
	}
	return m
}

func (t *jsonTree) array() any {
	items := []any{}
	for t.more(']') {
		items = append(items, t.value())
	}
	return items
}

// more passes an opening bracket or a comma and tells whether a value follows,
// or passes the closing bracket.
func (t *jsonTree) more(closing byte) bool {
	if t.peek() == closing {
		t.pos++
		return false
	}
	t.pos++
	if t.peek() == closing { // an empty object or array
		t.pos++
		return false
	}
	return true
}

func (t *jsonTree) str() string {
	t.pos++ // the quote
	start, escaped := t.pos, false
	for t.text[t.pos] != '"' {
		if t.text[t.pos] == '\\' {
			escaped = true
			t.pos++
		}
		t.pos++
	}
	s := t.text[start:t.pos]
	t.pos++
	if escaped {
		return string(appendUnescaped(nil, s))
	}
	return s
}

func (t *jsonTree) number() any {
	start := t.pos
	for t.pos < len(t.text) && strings.IndexByte("+-.eE0123456789", t.text[t.pos]) >= 0 {
		t.pos++
	}
	return json.Number(t.text[start:t.pos])
}

// peek skips space and returns the byte that follows.
func (t *jsonTree) peek() byte {
	for isSpace(t.text[t.pos]) {
		t.pos++
	}
	return t.text[t.pos]
}
