package millrace_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"millrace"
)

// legalToken is what the broker takes as a token.
var legalToken = regexp.MustCompile(`^[-_=A-Za-z0-9]*$`)

func FuzzToken(f *testing.F) {
	for _, sku := range []string{"", "85123A", "85123a", "BANK CHARGES", "gift_0001_20", "=20", "a.b", "*", ">", "\x00", "é", "\xff"} {
		f.Add(sku, sku+" ")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := millrace.EncodeToken(a), millrace.EncodeToken(b)
		if back, ok := millrace.DecodeToken(x); back != a || !ok {
			t.Errorf("%q has the token %q, which is of %q: %v", a, x, back, ok)
		}
		if (x == y) != (a == b) {
			t.Errorf("%q has the token %q, and %q has %q", a, x, b, y)
		}
		if !legalToken.MatchString(x) || len(x) < len(a) || len(x) > 3*len(a) {
			t.Errorf("%q has the token %q", a, x)
		}
		// Text that no token is made of is none, and what is a token is of one text only.
		if text, ok := millrace.DecodeToken(a); ok && millrace.EncodeToken(text) != a {
			t.Errorf("%q is the token of %q, which has %q", a, text, millrace.EncodeToken(text))
		}
	})
}

func TestTokenOfAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Texts that are much alike.
		text := rapid.StringMatching(`[aA =2.0é]{0,4}`)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		if x, y := millrace.EncodeToken(a), millrace.EncodeToken(b); (x == y) != (a == b) || !legalToken.MatchString(x) {
			t.Fatalf("%q has the token %q, and %q has %q", a, x, b, y)
		}
		if back, ok := millrace.DecodeToken(millrace.EncodeToken(a)); back != a || !ok {
			t.Fatalf("%q came back as %q, %v", a, back, ok)
		}
	})
}

func TestWhatIsNoToken(t *testing.T) {
	for _, key := range []string{"=", "=2", "=zz", "=2f", "=41", "a b", "a.b", "é"} {
		if text, ok := millrace.DecodeToken(key); ok {
			t.Errorf("%q is the token of %q", key, text)
		}
	}
}
