package orders

import (
	"slices"
	"testing"
)

func TestCurrencies(t *testing.T) {
	// 178 codes on the list, less 13 without a minor unit: XAG XAU XBA XBB XBC
	// XBD XDR XPD XPT XSU XTS XUA XXX.
	if len(currencies) != 165 || !slices.IsSorted(currencies) || len(slices.Compact(slices.Clone(currencies))) != len(currencies) {
		t.Errorf("%d currencies, which must be 165, in order, each once", len(currencies))
	}
	for _, code := range []string{"GBP", "EUR", "USD", "JPY", "AED", "ZWG"} {
		if !isCurrency(code) {
			t.Errorf("%s is unknown", code)
		}
	}
	for _, code := range []string{"", "gbp", "GB", "GBPP", "BGN", "HRK", "ZWL", "ANG", "XXX", "XTS", "XAU"} {
		if isCurrency(code) {
			t.Errorf("%q is known", code)
		}
	}
}
