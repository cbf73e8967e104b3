package orders

import (
	"strings"
	"testing"
)

// The keys of what an order may name stay short of what the broker takes as a subject,
// with its prefix: it is one line of the protocol, of 4,096 bytes.
func TestLongestKeys(t *testing.T) {
	for _, key := range []string{stockKey(strings.Repeat("€ ", MaxSKULen/4)), paymentKey(strings.Repeat(" ", MaxReferenceLen))} {
		if len(key) > 300 {
			t.Errorf("a key has %d bytes", len(key))
		}
	}
}
