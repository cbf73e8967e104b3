package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// How much of what was sent a problem repeats, in bytes, and how many
// violations it lists. A client controls all of them.
const (
	maxValue      = 64
	maxMessage    = 256
	maxLocation   = 160
	maxViolations = 100
)

// tidyViolations makes what huma found fit to be sent: in the order of their
// places, not too many, none too long, without objects (huma repeats the whole
// object that has a wrong key) and without secrets.
func tidyViolations(found []*huma.ErrorDetail) []*huma.ErrorDetail {
	found = slices.DeleteFunc(found, func(d *huma.ErrorDetail) bool { return d == nil })
	slices.SortStableFunc(found, func(a, b *huma.ErrorDetail) int {
		return compareLocations(a.Location, b.Location)
	})
	more := len(found) - maxViolations
	if more > 0 {
		found = found[:maxViolations]
	}
	tidy := make([]*huma.ErrorDetail, len(found), len(found)+1)
	for i, d := range found {
		tidy[i] = tidyViolation(d)
	}
	if more > 0 {
		tidy = append(tidy, &huma.ErrorDetail{Message: fmt.Sprintf("and %d more", more)})
	}
	return tidy
}

func tidyViolation(d *huma.ErrorDetail) *huma.ErrorDetail {
	v := *d
	if v.Location == "body" {
		v = bodyViolation(v)
	}
	if v.Message == "expected length >= 1" { // huma's words
		v.Message = "must not be empty"
	}
	v.Value = shownValue(v.Value)
	if isSecret(v.Location) {
		v.Value = nil
	}
	v.Message, v.Location = clip(v.Message, maxMessage), clip(shownLocation(v.Location), maxLocation)
	return &v
}

// bodyViolation finds the place of an error of decodeJSON, of which huma gives
// only the text, with the whole body as the value.
func bodyViolation(v huma.ErrorDetail) huma.ErrorDetail {
	if body, ok := v.Value.(string); ok {
		_, err := readJSON([]byte(body), jsonView{})
		if bad, ok := errors.AsType[*jsonError](err); ok && bad.Error() == v.Message {
			v.Message, v.Location = fmt.Sprintf("%s, at byte %d", bad.message, bad.offset), bad.location
		}
	}
	if field, message, found := strings.Cut(v.Message, ": "); found && strings.HasPrefix(field, "body.") {
		v.Message, v.Location = message, field
	}
	v.Value = nil
	return v
}

// shownValue is v if it is small and simple, else nil. Only the front of a long
// string is shown.
func shownValue(v any) any {
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil // what is missing has no value
		}
		return clip(v, maxValue)
	case json.Number:
		if len(v) <= maxValue {
			return shownNumber(v)
		}
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) { // which JSON does not have
			return v
		}
	case bool, int64, uint64, shownNumber:
		return v
	}
	return nil
}

// shownNumber is a number as it was sent. The encoder of answers would take a
// [json.Number] for a string.
type shownNumber string

// MarshalJSON implements [json.Marshaler].
func (n shownNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// isSecret is true for places whose values may let somebody in: headers, and
// whatever is named like a secret.
func isSecret(location string) bool {
	if strings.HasPrefix(location, "header.") || strings.HasPrefix(location, "cookie.") {
		return true
	}
	location = strings.ToLower(location)
	return slices.ContainsFunc(
		[]string{"passw", "secret", "token", "credential", "authoriz", "api_key", "apikey"},
		func(word string) bool { return strings.Contains(location, word) },
	)
}

// compareLocations sorts items[2] before items[10].
func compareLocations(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	if m, n := digitsAt(a, i), digitsAt(b, i); m != n && (min(m, n) > 0 || i > 0 && isDigit(a[i-1])) {
		return cmp.Compare(m, n)
	}
	return cmp.Compare(a[i:], b[i:])
}

func digitsAt(s string, i int) (n int) {
	for i+n < len(s) && isDigit(s[i+n]) {
		n++
	}
	return n
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// clip returns s, or its front and an ellipsis, in at most limit bytes of valid
// UTF-8.
func clip(s string, limit int) string {
	const ellipsis = "…"
	if len(s) <= limit {
		return strings.ToValidUTF8(s, "?")
	}
	return strings.ToValidUTF8(s[:limit-len(ellipsis)], "") + ellipsis
}
