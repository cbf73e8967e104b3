package millrace

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// How long names may be. They keep every subject far below the 4,096 bytes that the
// broker takes.
const (
	MaxIDLen   = 64
	MaxKindLen = 100
	// MaxKeyLen is in bytes.
	MaxKeyLen = 100
)

// NewID returns a fresh id that sorts by the time it was made: a UUID of
// version 7 (RFC 9562).
func NewID() string {
	return uuid.Must(uuid.NewV7()).String()
}

// MadeAt returns when [NewID] made an id, to the millisecond; ok is false for an id
// from elsewhere.
func MadeAt(id string) (at time.Time, ok bool) {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Time{}, false
	}
	return time.Unix(u.Time().UnixTime()).UTC(), true
}

// DeriveID returns the one id that belongs to parts, so that doing a thing
// twice names it once: a UUID of version 5 (RFC 9562).
func DeriveID(parts ...string) string {
	// The length of each part goes in front of it, so that ("ab", "c") and
	// ("a", "bc") differ.
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return uuid.NewSHA1(derivedIDs, []byte(b.String())).String()
}

// derivedIDs is the name space of [DeriveID]. Changing it would make every
// derived id a new one.
var derivedIDs = uuid.MustParse("0b6a4b36-7f0c-5d0e-9a57-6d696c6c7261")

// ValidateID says what is wrong with a task's or an order's id, or nil: 1 to 64
// characters of A-Z, a-z, 0-9, "_" and "-". Ids become parts of subjects, where
// "." separates and "*" and ">" match everybody's.
func ValidateID(id string) error {
	return validateToken("id", id)
}

// ValidateQueue says what is wrong with a queue's name, or nil: the same as
// [ValidateID].
func ValidateQueue(queue string) error {
	return validateToken("queue", queue)
}

func validateToken(what, s string) error {
	if len(s) < 1 || len(s) > MaxIDLen {
		return invalid("%s must have 1 to %d characters, not %d", what, MaxIDLen, len(s))
	}
	for _, c := range []byte(s) {
		if !isAlphanumeric(c) && c != '_' && c != '-' {
			return invalid("%s may hold only letters, digits, \"_\" and \"-\"", what)
		}
	}
	return nil
}

// ValidateKind says what is wrong with a kind, or nil: 1 to 4 words of a-z, 0-9
// and "_" joined by dots, 100 characters at most, as in "order.placed".
func ValidateKind(kind string) error {
	if len(kind) < 1 || len(kind) > MaxKindLen {
		return invalid("kind must have 1 to %d characters, not %d", MaxKindLen, len(kind))
	}
	words := 1
	for i, c := range []byte(kind) {
		switch {
		case c == '.' && i > 0 && i < len(kind)-1 && kind[i-1] != '.':
			words++
		case c == '_' || (isAlphanumeric(c) && (c < 'A' || c > 'Z')):
		default:
			return invalid("kind must be words of a-z, 0-9 and \"_\" joined by dots, as in \"order.placed\"")
		}
	}
	if words > 4 {
		return invalid("kind may have 4 words at most, not %d", words)
	}
	return nil
}

// ValidateKey says what is wrong with the key of what a task is about, or nil: 1 to 100
// bytes of text, without control characters.
func ValidateKey(key string) error {
	switch {
	case len(key) < 1 || len(key) > MaxKeyLen:
		return invalid("key must have 1 to %d bytes, not %d", MaxKeyLen, len(key))
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return invalid("key must be text, without control characters")
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
