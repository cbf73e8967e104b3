package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	maxListed    = 24 // keys, of all open objects; what is beyond goes to a map
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

// readJSON checks that text is one strict JSON value and returns what view shows
// of it. The error is a *jsonError.
func readJSON(text string, view jsonView) (any, error) {
	r := jsonReader{jsonScanner: jsonScanner{text: text}}
	tree, err := r.value(view)
	if err == nil && !r.ended() {
		err = r.errorf("something follows the JSON value")
	}
	if err != nil {
		return nil, err
	}
	return tree, nil
}

type jsonReader struct {
	jsonScanner
	depth  int
	keys   [maxListed]jsonString // of the objects that are open, outermost first
	listed int
}

// value reads the next value. What the view does not show comes back as
// unseen{}, but null is always nil.
func (r *jsonReader) value(view jsonView) (any, *jsonError) {
	switch b := r.peek(); {
	case b == '{':
		return r.object(view)
	case b == '[':
		return r.array(view)
	case b == '"':
		s, err := r.string()
		if err != nil || view.empty() {
			return unseen{}, err
		}
		return r.unescaped(s), nil
	case b == '-' || isDigit(b):
		n, err := r.number()
		if err != nil || view.empty() {
			return unseen{}, err
		}
		return json.Number(n), nil
	case b == 't':
		return true, r.literal("true")
	case b == 'f':
		return false, r.literal("false")
	default:
		return nil, r.literal("null")
	}
}

func (r *jsonReader) object(view jsonView) (any, *jsonError) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	var members map[any]any
	if !view.empty() {
		members = make(map[any]any)
	}
	seen := keySet{first: r.listed}
	for more := r.peek() != '}'; more; {
		key, err := r.key(&seen)
		if err != nil {
			return nil, err
		}
		value, err := r.value(view.member(key))
		if err != nil {
			return nil, err.within("." + clip(key, maxValue))
		}
		if members != nil {
			members[treeKey(key)] = value
		}
		if more, err = r.next('}'); err != nil {
			return nil, err
		}
	}
	r.listed = seen.first
	r.leave()
	if members == nil {
		return unseen{}, nil
	}
	return members, nil
}

func (r *jsonReader) array(view jsonView) (any, *jsonError) {
	if err := r.enter(); err != nil {
		return nil, err
	}
	items, itemView := []any{}, view.item()
	n := 0
	for more := r.peek() != ']'; more; n++ {
		value, err := r.value(itemView)
		if err != nil {
			return nil, err.within(fmt.Sprintf("[%d]", n))
		}
		if !view.empty() {
			items = append(items, value)
		}
		if more, err = r.next(']'); err != nil {
			return nil, err
		}
	}
	r.leave()
	if view.empty() {
		return unseen{}, nil
	}
	return items, nil
}

// enter and leave pass the bracket that opens or closes an object or an array.
func (r *jsonReader) enter() *jsonError {
	if r.depth == maxJSONDepth {
		return r.errorf("nested more than %d levels deep", maxJSONDepth)
	}
	r.depth++
	r.pos++
	return nil
}

func (r *jsonReader) leave() {
	r.depth--
	r.pos++
}

// next passes the comma before another member or item, or stops in front of
// the closing bracket.
func (r *jsonReader) next(closing byte) (more bool, err *jsonError) {
	switch r.peek() {
	case ',':
		r.pos++
		return true, nil
	case closing:
		return false, nil
	default:
		return false, r.unexpected(fmt.Sprintf(`"," or "%c"`, closing))
	}
}

// keySet is the keys that an object has had so far: those that the reader lists
// from first on, or, when the list is full, a map.
type keySet struct {
	first int
	many  map[string]struct{}
}

// key reads a key that is not in seen, and the colon behind it.
func (r *jsonReader) key(seen *keySet) (string, *jsonError) {
	if r.peek() != '"' {
		return "", r.unexpected("a key")
	}
	start := r.pos
	s, err := r.string()
	if err != nil {
		return "", err
	}
	key := r.unescaped(s)
	if r.repeated(seen, s, key) {
		r.pos = start
		return "", r.errorf("duplicate key %q", clip(key, maxValue))
	}
	if r.peek() != ':' {
		return "", r.unexpected(`":"`)
	}
	r.pos++
	return key, nil
}

func (r *jsonReader) repeated(seen *keySet, s jsonString, key string) bool {
	if seen.many == nil {
		for _, k := range r.keys[seen.first:r.listed] {
			if r.unescaped(k) == key {
				return true
			}
		}
		if r.listed < maxListed {
			r.keys[r.listed] = s
			r.listed++
			return false
		}
		seen.many = make(map[string]struct{})
		for _, k := range r.keys[seen.first:] {
			seen.many[r.unescaped(k)] = struct{}{}
		}
	}
	_, found := seen.many[key]
	seen.many[key] = struct{}{}
	return found
}
