package gateway

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Strict JSON. What two readers of one text could take for two different things
// is refused before anything is decoded: a key that an object has twice (also
// if one of the two is escaped), text that is not UTF-8, half a surrogate pair,
// anything behind the value. That is JSON as RFC 7493 narrows it, which is what
// jsontext reads, and then nested at most maxJSONDepth levels deep, so that no
// reader's stack is at risk.
//
// The same pass builds the tree that huma validates, and of that only what the
// schema looks at: what may be any JSON, as a task's args, is checked and left
// out.
//
// Objects become map[any]any, since huma matches the keys of a map[string]any
// without regard to case: it would take a "KIND" for the kind, which is missing
// then, since the decoder does not. Numbers stay text, so that the largest loses
// nothing.
const maxJSONDepth = 64

// jsonError says what is wrong with a JSON text, and where.
type jsonError struct {
	message  string
	location string // of the value it is in, written as huma writes it: body.items[3]
	offset   int    // of the byte where it shows
}

// Error is the message with the place: `duplicate key "sku" in body.items[3], at byte 57`.
func (e *jsonError) Error() string {
	return fmt.Sprintf("%s in %s, at byte %d", e.message, e.location, e.offset)
}

// readJSON checks that text is one strict JSON value and returns what view shows
// of it. The error is a *jsonError.
func readJSON(text []byte, view jsonView) (any, error) {
	tree := jsonTree{view: view}
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, jsonErrorIn(text, err)
	}
	return tree.root, nil
}

// jsonTree is what its view shows of a JSON value.
type jsonTree struct {
	view jsonView
	root any
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (t *jsonTree) UnmarshalJSONFrom(d *jsontext.Decoder) (err error) {
	t.root, err = readTree(d, t.view)
	return err
}

var errTooDeep = fmt.Errorf("nested more than %d levels deep", maxJSONDepth)

// readTree reads the next value. What the view does not show comes back as
// unseen{}, but null is always nil.
func readTree(d *jsontext.Decoder, view jsonView) (any, error) {
	if view.empty() {
		v, err := d.ReadValue()
		switch {
		case err != nil:
			return nil, err
		case nestedDeeper(v, maxJSONDepth-d.StackDepth()):
			return nil, errTooDeep
		case v.Kind() == jsontext.KindNull:
			return nil, nil
		}
		return unseen{}, nil
	}
	token, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	if d.StackDepth() > maxJSONDepth {
		return nil, errTooDeep
	}
	switch token.Kind() {
	case jsontext.KindNull:
		return nil, nil
	case jsontext.KindTrue, jsontext.KindFalse:
		return token.Bool(), nil
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return stdjson.Number(token.String()), nil
	case jsontext.KindBeginObject:
		members := map[any]any{}
		for d.PeekKind() != jsontext.KindEndObject {
			name, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			key := name.String()
			if members[treeKey(key)], err = readTree(d, view.member(key)); err != nil {
				return nil, err
			}
		}
		_, err := d.ReadToken()
		return members, err
	default:
		items, itemView := []any{}, view.item()
		for d.PeekKind() != jsontext.KindEndArray {
			item, err := readTree(d, itemView)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err := d.ReadToken()
		return items, err
	}
}

// nestedDeeper reports whether a valid value has more than limit levels.
func nestedDeeper(v jsontext.Value, limit int) bool {
	if bytes.Count(v, []byte("{"))+bytes.Count(v, []byte("[")) <= limit {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(v); i++ {
		switch b := v[i]; {
		case b == '"':
			inString = !inString
		case inString:
			if b == '\\' {
				i++
			}
		case b == '{', b == '[':
			if depth++; depth > limit {
				return true
			}
		case b == '}', b == ']':
			depth--
		}
	}
	return false
}

// jsonErrorIn finds where it is that text is wrong, for err: token by token, since
// a decoder knows only of those what is an object and what an array.
func jsonErrorIn(text []byte, err error) *jsonError {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		_, tokenErr := d.ReadToken()
		if wrong, ok := errors.AsType[*jsontext.SyntacticError](tokenErr); ok {
			return syntaxErrorIn(text, d, wrong)
		}
		rest := bytes.TrimLeft(text[d.InputOffset():], " \t\r\n")
		at := len(text) - len(rest)
		switch {
		case tokenErr != nil:
			return &jsonError{"there is no value", "body", at}
		case d.StackDepth() > maxJSONDepth:
			return &jsonError{errTooDeep.Error(), jsonLocation(d, d.StackPointer()), int(d.InputOffset()) - 1}
		case d.StackDepth() == 0 && len(rest) > 0:
			return &jsonError{"something follows the JSON value", "body", at}
		case d.StackDepth() == 0:
			return &jsonError{err.Error(), "body", at}
		}
	}
}

// syntaxErrorIn says what is wrong where d is. A decoder that reads all of text at
// once says more clearly what it expected there.
func syntaxErrorIn(text []byte, d *jsontext.Decoder, wrong *jsontext.SyntacticError) *jsonError {
	_, err := jsontext.NewDecoder(bytes.NewReader(text)).ReadValue()
	if clearer, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		wrong = clearer
	}
	switch wrong.Err {
	case io.ErrUnexpectedEOF:
		return &jsonError{"the text ends before the value does", jsonLocation(d, wrong.JSONPointer), len(text)}
	case jsontext.ErrDuplicateName:
		message := fmt.Sprintf("duplicate key %q", clip(wrong.JSONPointer.LastToken(), maxValue))
		return &jsonError{message, jsonLocation(d, wrong.JSONPointer.Parent()), int(wrong.ByteOffset)}
	}
	return &jsonError{wrong.Err.Error(), jsonLocation(d, wrong.JSONPointer), int(wrong.ByteOffset)}
}

// jsonLocation is the place that pointer leads to; d is in the objects and arrays
// on the way.
func jsonLocation(d *jsontext.Decoder, pointer jsontext.Pointer) string {
	location, level := "body", 0
	for step := range pointer.Tokens() {
		level = min(level+1, d.StackDepth())
		if kind, _ := d.StackIndex(level); kind == jsontext.KindBeginArray {
			location += "[" + step + "]"
		} else {
			location += "." + clip(step, maxValue)
		}
	}
	return location
}

// locationIn is the place in a good text that pointer leads to, at that byte.
func locationIn(text []byte, pointer jsontext.Pointer, offset int64) string {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for d.InputOffset() <= offset {
		if _, err := d.ReadToken(); err != nil {
			break
		}
	}
	return jsonLocation(d, pointer)
}
