package gateway

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The tokens of JSON, for jsonChecker; its structure is in strictjson.go.

// text reads a string and returns what is between its quotes.
func (c *jsonChecker) text() (raw []byte, escaped bool, err *jsonError) {
	c.pos++ // the quote
	start := c.pos
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; {
		case b == '"':
			c.pos++
			return c.data[start : c.pos-1], escaped, nil
		case b == '\\':
			escaped = true
			if err := c.escape(); err != nil {
				return nil, false, err
			}
		case b < ' ':
			return nil, false, c.errorf("control character %#02x in a string", b)
		case b < utf8.RuneSelf:
			c.pos++
		default:
			r, size := utf8.DecodeRune(c.data[c.pos:])
			if r == utf8.RuneError && size == 1 {
				return nil, false, c.errorf("invalid UTF-8")
			}
			c.pos += size
		}
	}
	return nil, false, c.errorf("a string does not end")
}

func (c *jsonChecker) escape() *jsonError {
	rest := c.data[c.pos+1:]
	if len(rest) > 0 && strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0 {
		c.pos += 2
		return nil
	}
	r, ok := hexRune(rest)
	if !ok {
		return c.errorf("invalid escape in a string")
	}
	size := len(`\uXXXX`)
	if utf16.IsSurrogate(r) {
		low, ok := rune(0), false
		if len(rest) > 5 && rest[5] == '\\' {
			low, ok = hexRune(rest[6:])
		}
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			return c.errorf("half of a surrogate pair")
		}
		size *= 2
	}
	c.pos += size
	return nil
}

func (c *jsonChecker) number() *jsonError {
	if c.data[c.pos] == '-' {
		c.pos++
	}
	switch {
	case c.at('0'):
		c.pos++
	case !c.digits():
		return c.unexpected("a digit")
	}
	if c.at('.') {
		c.pos++
		if !c.digits() {
			return c.unexpected("a digit")
		}
	}
	if c.at('e') || c.at('E') {
		c.pos++
		if c.at('+') || c.at('-') {
			c.pos++
		}
		if !c.digits() {
			return c.unexpected("a digit")
		}
	}
	return nil
}

func (c *jsonChecker) digits() bool {
	start := c.pos
	for c.pos < len(c.data) && isDigit(c.data[c.pos]) {
		c.pos++
	}
	return c.pos > start
}

func (c *jsonChecker) literal(word string) *jsonError {
	if !bytes.HasPrefix(c.data[c.pos:], []byte(word)) {
		return c.unexpected("a value")
	}
	c.pos += len(word)
	return nil
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }

// hexRune returns the value of an escape like u00e9 at the start of s.
func hexRune[S ~string | ~[]byte](s S) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	var r rune
	for i := 1; i < 5; i++ {
		switch b := s[i]; {
		case isDigit(b):
			r = r<<4 | rune(b-'0')
		case b >= 'a' && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case b >= 'A' && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// appendUnescaped appends what the inside of a checked JSON string stands for.
func appendUnescaped(dst []byte, s string) []byte {
	for {
		plain, rest, found := strings.Cut(s, `\`)
		dst = append(dst, plain...)
		if !found {
			return dst
		}
		switch rest[0] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hexRune(rest)
			if utf16.IsSurrogate(r) {
				low, _ := hexRune(rest[6:])
				r = utf16.DecodeRune(r, low)
				rest = rest[6:]
			}
			dst = utf8.AppendRune(dst, r)
			rest = rest[4:]
		default: // a quote, a slash, a backslash
			dst = append(dst, rest[0])
		}
		s = rest[1:]
	}
}
