package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Strict JSON. What two readers of one text could take for two different things
// is refused before anything is decoded: a key that an object has twice (also
// if one of the two is escaped), text that is not UTF-8, half a surrogate pair,
// anything behind the value. That is JSON as RFC 7493 narrows it, and then
// nested at most maxJSONDepth levels deep, so that no reader's stack is at risk.
//
// The same pass builds the tree that huma validates, and of that only what the
// schema looks at: what may be any JSON, as a task's args, is checked and left
// out. Strings and numbers of the tree are pieces of the text.
//
// Objects become map[any]any, since huma matches the keys of a map[string]any
// without regard to case: it would validate "kind" and encoding/json then take
// "KIND". Numbers stay text, so that the largest loses nothing.
const (
	maxJSONDepth = 64
	fewKeys      = 16 // in an object of more keys, duplicates are found by a map
)

// jsonError says what is wrong with a JSON text, and where.
type jsonError struct {
	message string
	offset  int      // of the byte where it shows
	steps   []string // the way to the value it is in, innermost first: "[3]", ".items"
}

// Error is the message with the place: `duplicate key "sku" in body.items[3], at byte 57`.
func (e *jsonError) Error() string {
	return fmt.Sprintf("%s in %s, at byte %d", e.message, e.location(), e.offset)
}

// location is the value's place, written as huma writes it: body.items[3].
func (e *jsonError) location() string {
	steps := slices.Clone(e.steps)
	slices.Reverse(steps)
	return "body" + strings.Join(steps, "")
}

func (e *jsonError) within(step string) *jsonError {
	e.steps = append(e.steps, step)
	return e
}

// readJSON checks that text is one strict JSON value and returns the parts of
// it that huma.Validate looks at, given the schema; a nil schema means all of
// it. The error is a *jsonError.
func readJSON(text string, schema *huma.Schema, schemas huma.Registry) (any, error) {
	var keys [2 * fewKeys]jsonText
	r := jsonReader{jsonScanner: jsonScanner{text: text}, schemas: schemas, keys: keys[:0]}
	tree, err := r.value(schema)
	if err == nil && r.peek() != 0 {
		err = r.errorf("something follows the JSON value")
	}
	if err != nil {
		return nil, err
	}
	return tree, nil
}

// checkJSON is readJSON without a tree.
func checkJSON(text string) error {
	_, err := readJSON(text, &huma.Schema{}, nil)
	return err
}

type jsonReader struct {
	jsonScanner
	schemas huma.Registry
	depth   int
	keys    []jsonText // of all objects that are open, outermost first
}

// value reads the value at the front. What s does not look into comes back as
// unseen{}, unless it is null.
func (r *jsonReader) value(s *huma.Schema) (any, *jsonError) {
	switch b := r.peek(); {
	case b == '{':
		return r.object(s)
	case b == '[':
		return r.array(s)
	case b == '"':
		t, err := r.string()
		if err != nil || isFree(s) {
			return unseen{}, err
		}
		return r.unescaped(t), nil
	case b == '-' || isDigit(b):
		start := r.pos
		if err := r.number(); err != nil || isFree(s) {
			return unseen{}, err
		}
		return json.Number(r.text[start:r.pos]), nil
	case b == 't':
		return true, r.literal("true")
	case b == 'f':
		return false, r.literal("false")
	default:
		return nil, r.literal("null")
	}
}

func (r *jsonReader) object(s *huma.Schema) (any, *jsonError) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	s = r.resolve(s)
	var members map[any]any
	if !isFree(s) {
		members = make(map[any]any)
	}
	seen := keySet{first: len(r.keys)}
	for more := r.peek() != '}'; more; {
		t, err := r.key(&seen)
		if err != nil {
			return nil, err
		}
		key := r.unescaped(t)
		value, err := r.value(memberSchema(s, key))
		if err != nil {
			return nil, err.within("." + clip(key, maxValue))
		}
		if members != nil {
			members[key] = value
		}
		if more, err = r.more('}'); err != nil {
			return nil, err
		}
	}
	r.keys = r.keys[:seen.first]
	r.leave()
	if members == nil {
		return unseen{}, nil
	}
	return members, nil
}

func (r *jsonReader) array(s *huma.Schema) (any, *jsonError) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	s = r.resolve(s)
	items := []any{}
	for more := r.peek() != ']'; more; {
		value, err := r.value(itemSchema(s))
		if err != nil {
			return nil, err.within(fmt.Sprintf("[%d]", len(items)))
		}
		items = append(items, value)
		if more, err = r.more(']'); err != nil {
			return nil, err
		}
	}
	r.leave()
	return items, nil
}
