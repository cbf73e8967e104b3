package gateway

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Strict JSON. What two readers of one text could take for two different things
// is refused before anything is decoded: a key that an object has twice (also
// if one of the two is escaped), text that is not UTF-8, half a surrogate pair,
// anything behind the value. That is JSON as RFC 7493 narrows it, and then
// nested at most maxJSONDepth levels deep, so that no reader's stack is at risk.
//
// The check is one pass over the bytes. It allocates only for objects with more
// than fewKeys keys, for keys with escapes, and for errors.
const (
	maxJSONDepth = 64
	fewKeys      = 24
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

// checkJSON returns nil for one strict JSON text with nothing but space around
// it, and a *jsonError for everything else.
func checkJSON(data []byte) error {
	var keys [2 * fewKeys][]byte
	c := jsonChecker{data: data, keys: keys[:0]}
	if err := c.document(); err != nil {
		return err
	}
	return nil
}

type jsonChecker struct {
	data  []byte
	pos   int
	depth int
	keys  [][]byte // of all objects that are open, unescaped, outermost first
}

func (c *jsonChecker) document() *jsonError {
	if err := c.value(); err != nil {
		return err
	}
	c.skipSpace()
	if c.pos < len(c.data) {
		return c.errorf("something follows the JSON value")
	}
	return nil
}

func (c *jsonChecker) value() *jsonError {
	switch b := c.peek(); {
	case b == '{':
		return c.object()
	case b == '[':
		return c.array()
	case b == '"':
		_, _, err := c.text()
		return err
	case b == '-' || isDigit(b):
		return c.number()
	case b == 't':
		return c.literal("true")
	case b == 'f':
		return c.literal("false")
	case b == 'n':
		return c.literal("null")
	default:
		return c.unexpected("a value")
	}
}

func (c *jsonChecker) object() *jsonError {
	if err := c.enter(); err != nil {
		return err
	}
	if c.peek() == '}' {
		return c.leave()
	}
	seen := keySet{first: len(c.keys)}
	for {
		at := c.pos
		key, err := c.key()
		if err != nil {
			return err
		}
		if c.repeated(&seen, key) {
			c.pos = at
			return c.errorf("duplicate key %q", clip(string(key), maxValue))
		}
		if c.peek() != ':' {
			return c.unexpected(`":"`)
		}
		c.pos++
		if err := c.value(); err != nil {
			return err.within("." + clip(string(key), maxValue))
		}
		switch c.peek() {
		case ',':
			c.pos++
			c.skipSpace()
		case '}':
			c.keys = c.keys[:seen.first]
			return c.leave()
		default:
			return c.unexpected(`"," or "}"`)
		}
	}
}

func (c *jsonChecker) array() *jsonError {
	if err := c.enter(); err != nil {
		return err
	}
	if c.peek() == ']' {
		return c.leave()
	}
	for i := 0; ; i++ {
		if err := c.value(); err != nil {
			return err.within(fmt.Sprintf("[%d]", i))
		}
		switch c.peek() {
		case ',':
			c.pos++
		case ']':
			return c.leave()
		default:
			return c.unexpected(`"," or "]"`)
		}
	}
}

// enter and leave pass the bracket that opens or closes an object or an array.
func (c *jsonChecker) enter() *jsonError {
	if c.depth == maxJSONDepth {
		return c.errorf("nested more than %d levels deep", maxJSONDepth)
	}
	c.depth++
	c.pos++
	return nil
}

func (c *jsonChecker) leave() *jsonError {
	c.depth--
	c.pos++
	return nil
}

// keySet is the keys that an object has had so far: its part of the checker's
// keys, or, once there are many, a map.
type keySet struct {
	first int
	many  map[string]struct{}
}

func (c *jsonChecker) repeated(seen *keySet, key []byte) bool {
	if seen.many == nil {
		for _, k := range c.keys[seen.first:] {
			if bytes.Equal(k, key) {
				return true
			}
		}
		c.keys = append(c.keys, key)
		if len(c.keys)-seen.first > fewKeys {
			seen.many = make(map[string]struct{}, 2*fewKeys)
			for _, k := range c.keys[seen.first:] {
				seen.many[string(k)] = struct{}{}
			}
		}
		return false
	}
	if _, found := seen.many[string(key)]; found {
		return true
	}
	seen.many[string(key)] = struct{}{}
	return false
}

func (c *jsonChecker) key() ([]byte, *jsonError) {
	if c.peek() != '"' {
		return nil, c.unexpected("a key")
	}
	key, escaped, err := c.text()
	if escaped && err == nil {
		key = appendUnescaped(nil, string(key))
	}
	return key, err
}

// peek skips space and returns the byte that follows, or 0 at the end.
func (c *jsonChecker) peek() byte {
	c.skipSpace()
	if c.pos == len(c.data) {
		return 0
	}
	return c.data[c.pos]
}

func (c *jsonChecker) skipSpace() {
	for c.pos < len(c.data) && isSpace(c.data[c.pos]) {
		c.pos++
	}
}

func (c *jsonChecker) at(b byte) bool {
	return c.pos < len(c.data) && c.data[c.pos] == b
}

func (c *jsonChecker) unexpected(wanted string) *jsonError {
	if c.pos >= len(c.data) {
		return c.errorf("the text ends where %s is expected", wanted)
	}
	r, size := utf8.DecodeRune(c.data[c.pos:])
	if r == utf8.RuneError && size == 1 {
		return c.errorf("invalid UTF-8")
	}
	return c.errorf("unexpected %q where %s is expected", r, wanted)
}

func (c *jsonChecker) errorf(format string, args ...any) *jsonError {
	return &jsonError{message: fmt.Sprintf(format, args...), offset: c.pos}
}
