package orders

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// legalKey is what the broker takes as a part of a key.
var legalKey = regexp.MustCompile(`^[-_=A-Za-z0-9]*$`)

func FuzzKeys(f *testing.F) {
	for _, sku := range []string{"", "85123A", "85123a", "BANK CHARGES", "gift_0001_20", "=20", "a.b", "*", ">", "\x00", "é", "\xff"} {
		f.Add(sku, sku+" ")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := encodeKey(a), encodeKey(b)
		if back, ok := decodeKey(x); back != a || !ok {
			t.Errorf("%q has the key %q, which is of %q: %v", a, x, back, ok)
		}
		if (x == y) != (a == b) {
			t.Errorf("%q has the key %q, and %q has %q", a, x, b, y)
		}
		if !legalKey.MatchString(x) || len(x) < len(a) || len(x) > 3*len(a) {
			t.Errorf("%q has the key %q", a, x)
		}
		// Text that no key is made of is none, and what is a key is of one text only.
		if text, ok := decodeKey(a); ok && encodeKey(text) != a {
			t.Errorf("%q is the key of %q, which has %q", a, text, encodeKey(text))
		}
	})
}

func TestKeysOfAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Texts that are much alike.
		text := rapid.StringMatching(`[aA =2.0é]{0,4}`)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		if x, y := encodeKey(a), encodeKey(b); (x == y) != (a == b) || !legalKey.MatchString(x) {
			t.Fatalf("%q has the key %q, and %q has %q", a, x, b, y)
		}
		if back, ok := decodeKey(encodeKey(a)); back != a || !ok {
			t.Fatalf("%q came back as %q, %v", a, back, ok)
		}
	})
}

// The keys of what an order may name stay short of what the broker takes as a subject,
// with its prefix: it is one line of the protocol, of 4,096 bytes.
func TestLongestKeys(t *testing.T) {
	for _, key := range []string{stockKey(strings.Repeat("€ ", MaxSKULen/4)), paymentKey(strings.Repeat(" ", MaxReferenceLen))} {
		if len(key) > 300 {
			t.Errorf("a key has %d bytes", len(key))
		}
	}
}

func TestWhatIsNoKey(t *testing.T) {
	for _, key := range []string{"=", "=2", "=zz", "=2f", "=41", "a b", "a.b", "é"} {
		if text, ok := decodeKey(key); ok {
			t.Errorf("%q is the key of %q", key, text)
		}
	}
}
