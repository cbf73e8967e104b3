package millrace

import (
	"slices"
	"strings"
)

// Scope is something that a key allows.
type Scope string

// The scopes. A key may have several; none contains another, but [ScopeAdmin] all.
const (
	// ScopeSubmit allows to give work: to submit tasks and to place orders.
	ScopeSubmit Scope = "submit"
	// ScopeRead allows to look at everything but keys and the audit log.
	ScopeRead Scope = "read"
	// ScopeOperate allows to change what is there: to cancel, redrive, pause, limit, and
	// to write schedules and stock.
	ScopeOperate Scope = "operate"
	// ScopeAdmin allows everything, also to make and revoke keys and to read the audit log.
	ScopeAdmin Scope = "admin"
)

// Scopes are all there are, the weakest first.
func Scopes() []Scope { return []Scope{ScopeSubmit, ScopeRead, ScopeOperate, ScopeAdmin} }

// Allows reports whether a key with some scopes may do what takes this one.
func (s Scope) Allows(some []Scope) bool {
	return slices.Contains(some, s) || slices.Contains(some, ScopeAdmin)
}

// ValidateScopes says what is wrong with the scopes of a key, or nil: at least one, each
// of them once, and one of [Scopes].
func ValidateScopes(scopes []Scope) error {
	if len(scopes) == 0 {
		return invalid("a key needs at least one scope: submit, read, operate or admin")
	}
	for i, s := range scopes {
		if !slices.Contains(Scopes(), s) {
			return invalid("%q is no scope: there are submit, read, operate and admin", s)
		}
		if slices.Contains(scopes[:i], s) {
			return invalid("the scope %s is there twice", s)
		}
	}
	return nil
}

// KeyPrefix is the part of a key that may be shown: what is before its secret. It is
// empty for what is no key.
func KeyPrefix(key string) string {
	rest, ok := strings.CutPrefix(key, "mr_")
	prefix, secret, cut := strings.Cut(rest, "_")
	if !ok || !cut || len(prefix) != KeyPrefixLen || len(secret) != KeySecretLen {
		return ""
	}
	return prefix
}

// A key is "mr_", its prefix, "_", and its secret: 256 random bits as hexadecimal digits.
const (
	KeyPrefixLen = 10
	KeySecretLen = 64
)
