package gateway

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonScanner reads the tokens of a JSON text; see strictjson.go for what is
// made of them.
type jsonScanner struct {
	text string
	pos  int
}

// jsonString is where a string is in the text, without its quotes.
type jsonString struct {
	from, to int
	escaped  bool
}

// peek skips space and returns the byte that follows, or 0 at the end.
func (c *jsonScanner) peek() byte {
	for c.pos < len(c.text) {
		b := c.text[c.pos]
		if b > ' ' || !isSpace(b) {
			return b
		}
		c.pos++
	}
	return 0
}

func (c *jsonScanner) ended() bool {
	c.peek()
	return c.pos == len(c.text)
}

func (c *jsonScanner) string() (jsonString, *jsonError) {
	c.pos++ // the quote
	s := jsonString{from: c.pos}
	for {
		i := c.pos
		for i < len(c.text) && isPlain(c.text[i]) {
			i++
		}
		c.pos = i
		if i == len(c.text) {
			return s, c.errorf("a string does not end")
		}
		switch b := c.text[i]; {
		case b == '"':
			s.to = i
			c.pos++
			return s, nil
		case b == '\\':
			s.escaped = true
			if err := c.escape(); err != nil {
				return s, err
			}
		case b < ' ':
			return s, c.errorf("control character %#02x in a string", b)
		default:
			r, size := utf8.DecodeRuneInString(c.text[i:])
			if r == utf8.RuneError && size == 1 {
				return s, c.errorf("invalid UTF-8")
			}
			c.pos += size
		}
	}
}

func (c *jsonScanner) escape() *jsonError {
	rest := c.text[c.pos+1:]
	if rest != "" && strings.IndexByte(`"\/bfnrt`, rest[0]) >= 0 {
		c.pos += 2
		return nil
	}
	r, ok := hexRune(rest)
	if !ok {
		return c.errorf("invalid escape in a string")
	}
	size := len(`\uXXXX`)
	if utf16.IsSurrogate(r) {
		second, found := strings.CutPrefix(rest[5:], `\`)
		low, _ := hexRune(second)
		if !found || utf16.DecodeRune(r, low) == utf8.RuneError {
			return c.errorf("half of a surrogate pair in a string")
		}
		size *= 2
	}
	c.pos += size
	return nil
}

func (c *jsonScanner) number() (string, *jsonError) {
	start := c.pos
	c.pass("-")
	ok := c.pass("0") || c.digits()
	if ok && c.pass(".") {
		ok = c.digits()
	}
	if ok && (c.pass("e") || c.pass("E")) {
		_ = c.pass("+") || c.pass("-")
		ok = c.digits()
	}
	if !ok {
		return "", c.unexpected("a digit")
	}
	return c.text[start:c.pos], nil
}

func (c *jsonScanner) digits() bool {
	start := c.pos
	for c.pos < len(c.text) && isDigit(c.text[c.pos]) {
		c.pos++
	}
	return c.pos > start
}

func (c *jsonScanner) literal(word string) *jsonError {
	if !c.pass(word) {
		return c.unexpected("a value")
	}
	return nil
}

func (c *jsonScanner) pass(token string) bool {
	if !strings.HasPrefix(c.text[c.pos:], token) {
		return false
	}
	c.pos += len(token)
	return true
}

func (c *jsonScanner) unexpected(wanted string) *jsonError {
	if c.pos == len(c.text) {
		return c.errorf("the text ends where %s is expected", wanted)
	}
	r, size := utf8.DecodeRuneInString(c.text[c.pos:])
	if r == utf8.RuneError && size == 1 {
		return c.errorf("invalid UTF-8")
	}
	return c.errorf("unexpected %q where %s is expected", r, wanted)
}

func (c *jsonScanner) errorf(format string, args ...any) *jsonError {
	return &jsonError{message: fmt.Sprintf(format, args...), offset: c.pos}
}

// unescaped returns what s stands for. Without escapes it is a piece of the text.
func (c *jsonScanner) unescaped(s jsonString) string {
	raw := c.text[s.from:s.to]
	if !s.escaped {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for {
		plain, rest, found := strings.Cut(raw, `\`)
		out = append(out, plain...)
		if !found {
			return string(out)
		}
		raw = rest[1:]
		if i := strings.IndexByte("bfnrt", rest[0]); i >= 0 {
			out = append(out, "\b\f\n\r\t"[i])
		} else if r, ok := hexRune(rest); ok {
			raw = rest[5:]
			if utf16.IsSurrogate(r) {
				low, _ := hexRune(rest[6:])
				r, raw = utf16.DecodeRune(r, low), rest[11:]
			}
			out = utf8.AppendRune(out, r)
		} else { // a quote, a slash, a backslash
			out = append(out, rest[0])
		}
	}
}

// hexRune returns the value of an escape like u00e9 at the start of s.
func hexRune(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	var r rune
	for _, b := range []byte(s[1:5]) {
		switch {
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

func isPlain(b byte) bool { return b >= ' ' && b < utf8.RuneSelf && b != '"' && b != '\\' }

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\r' || b == '\t' }
