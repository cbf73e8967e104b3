package gateway

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

func TestViolationsAreInOrderAndNotTooMany(t *testing.T) {
	var found []*huma.ErrorDetail
	for i := range 300 {
		found = append(found, &huma.ErrorDetail{Location: fmt.Sprintf("body.items[%d].sku", 299-i), Message: "m"}, nil)
	}
	tidy := tidyViolations(found)
	if len(tidy) != maxViolations+1 {
		t.Fatalf("%d", len(tidy))
	}
	for i, d := range tidy[:maxViolations] {
		if want := fmt.Sprintf("body.items[%d].sku", i); d.Location != want {
			t.Errorf("%d is %s", i, d.Location)
		}
	}
	if last := tidy[maxViolations].Message; last != "and 200 more" {
		t.Errorf("the last is %q", last)
	}
}

func TestLocationsAreSortedAsPeopleDo(t *testing.T) {
	sorted := []string{
		"body", "body.a", "body.items[1]", "body.items[1].a", "body.items[2]", "body.items[10]", "body.items[10].a", "body.x1", "body.x9", "body.x10", "query.a",
	}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, compareLocations)
	if diff := cmp.Diff(sorted, shuffled); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAViolationRepeats(t *testing.T) {
	long := strings.Repeat("ä", 500)
	for _, c := range []struct {
		location string
		value    any
		want     any
	}{
		{"body.a", "short", "short"},
		{"body.a", long, strings.Repeat("ä", 30) + "…"},
		{"body.a", "a\xffb", "a?b"},
		{"body.a", "", nil},
		{"body.a", json.Number("9007199254740993"), shownNumber("9007199254740993")},
		{"body.a", json.Number(strings.Repeat("1", 65)), nil},
		{"body.a", true, true},
		{"query.n", int64(7), int64(7)},
		{"query.x", 1.5, 1.5},
		{"query.x", math.Inf(-1), nil},
		{"query.x", math.NaN(), nil},
		{"body.a", map[any]any{"b": 1}, nil},
		{"body.a", []any{"b"}, nil},
		{"body.a", unseen{}, nil},
		{"body", "all of it", nil},
		{"header.Authorization", "Bearer x", nil},
		{"cookie.session", "x", nil},
		{"body.webhook.API_Key", "x", nil},
		{"body.db_password", "x", nil},
		{"query.access_token", "x", nil},
	} {
		got := tidyViolation(&huma.ErrorDetail{Location: c.location, Message: long, Value: c.value})
		if got.Value != c.want {
			t.Errorf("%s: %v is shown as %v", c.location, c.value, got.Value)
		}
		if len(got.Message) > maxMessage {
			t.Errorf("a message of %d bytes", len(got.Message))
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("añ€😀\xff", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 3 || limit > 1000 {
			t.Skip()
		}
		got := clip(s, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		if utf8.ValidString(s) && len(s) <= limit && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
