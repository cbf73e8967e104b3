package millrace_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"millrace"
)

// hostile are names that would do harm in a subject, a header or a path.
var hostile = map[string]string{
	"empty":             "",
	"a star":            "*",
	"everybody":         ">",
	"a dot":             ".",
	"two dots":          "..",
	"a path":            "../../etc/passwd",
	"a subject":         "a.b",
	"a trailing dot":    "a.",
	"a star inside":     "a*b",
	"a greater inside":  "a>b",
	"a space":           "a b",
	"only a space":      " ",
	"a tab":             "a\tb",
	"a new line":        "a\nb",
	"a trailing CRLF":   "a\r\n",
	"a smuggled header": "a\r\nNats-TTL: 1s",
	"a NUL":             "a\x00b",
	"DEL":               "a\x7fb",
	"no UTF-8":          "a\xffb",
	"an umlaut":         "ä",
	"a full-width a":    "ａ",
	"a zero-width join": "a\u200db",
	"a dollar":          "$JS",
	"a slash":           "a/b",
	"a percent":         "a%2e",
	"an equals sign":    "a=b",
	"a quote":           `a"b`,
	"5 KB":              strings.Repeat("a", 5<<10),
}

func TestIDs(t *testing.T) {
	good := []string{"a", "A", "0", "_", "-", "order-1042", "Invoice_536365", strings.Repeat("x", millrace.MaxIDLen), millrace.NewID(), millrace.DeriveID("x")}
	for _, check := range []struct {
		what     string
		validate func(string) error
	}{{"id", millrace.ValidateID}, {"queue", millrace.ValidateQueue}} {
		for _, name := range good {
			if err := check.validate(name); err != nil {
				t.Errorf("%s %q: %v", check.what, name, err)
			}
		}
		for why, name := range hostile {
			wantInvalid(t, check.what+" with "+why, check.validate(name))
		}
		wantInvalid(t, check.what+" one too long", check.validate(strings.Repeat("x", millrace.MaxIDLen+1)))
	}
}

func TestKinds(t *testing.T) {
	for _, kind := range []string{"a", "order.placed", "mail.send", "a.b.c.d", "x_1.y_2", "_", "0", "_._", strings.Repeat("k", millrace.MaxKindLen)} {
		if err := millrace.ValidateKind(kind); err != nil {
			t.Errorf("%q: %v", kind, err)
		}
	}
	for why, kind := range hostile {
		if why != "a subject" { // two words
			wantInvalid(t, "kind with "+why, millrace.ValidateKind(kind))
		}
	}
	for why, kind := range map[string]string{
		"a leading dot":        ".a",
		"an empty word":        "a..b",
		"five words":           "a.b.c.d.e",
		"a capital":            "Order.placed",
		"a dash":               "order-placed",
		"one byte too many":    strings.Repeat("k", millrace.MaxKindLen+1),
		"nothing but dots":     "...",
		"a star as a word":     "order.*",
		"a greater at the end": "order.>",
	} {
		wantInvalid(t, "kind with "+why, millrace.ValidateKind(kind))
	}
}

// An error about a name is shown to whoever sent it, and lands in logs: it must
// not carry the name's bytes along.
func TestNameErrorsDoNotEcho(t *testing.T) {
	for why, name := range hostile {
		for _, err := range []error{millrace.ValidateID(name), millrace.ValidateQueue(name), millrace.ValidateKind(name)} {
			if err != nil && (len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\r\n\x00")) {
				t.Errorf("%s: the error is %q", why, err)
			}
		}
	}
}

var kindPattern = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+){0,3}$`)

func FuzzValidateKind(f *testing.F) {
	for _, kind := range hostile {
		f.Add(kind)
	}
	f.Add("order.placed")
	f.Add("a.b.c.d.e")
	f.Add("a.b.c.d.")
	f.Fuzz(func(t *testing.T, kind string) {
		err := millrace.ValidateKind(kind)
		if want := len(kind) <= millrace.MaxKindLen && kindPattern.MatchString(kind); (err == nil) != want {
			t.Fatalf("%q: got %v, want valid to be %v", kind, err, want)
		}
		if err != nil && !errors.Is(err, millrace.ErrInvalid) {
			t.Fatalf("%q: %v is no ErrInvalid", kind, err)
		}
	})
}

func TestNewIDsSort(t *testing.T) {
	last := ""
	for range 1000 {
		id := millrace.NewID()
		if err := millrace.ValidateID(id); err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Fatalf("%s does not sort after %s", id, last)
		}
		last = id
	}
	if v := uuid.MustParse(last).Version(); v != 7 {
		t.Errorf("version %d, want 7", v)
	}
}

func TestDeriveID(t *testing.T) {
	// Changing what is derived would make every derived id a new one.
	if got, want := millrace.DeriveID("schedule", "nightly", "2026-01-01T00:00:00Z"), "b0184af5-0fc6-5d07-91c9-636b4f31bacf"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string][]string{}
	for _, parts := range [][]string{
		nil, {""}, {"", ""}, {"abc"}, {"ab", "c"}, {"a", "bc"}, {"a", "b", "c"}, {"abc", ""}, {"", "abc"}, {"1:a"}, {"1:a1:b"}, {"a", "b"},
	} {
		id := millrace.DeriveID(parts...)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q have the id %s", parts, other, id)
		}
		seen[id] = parts
	}
}

func TestDeriveIDProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.String())
		a, b := parts.Draw(t, "a"), parts.Draw(t, "b")
		if err := millrace.ValidateID(millrace.DeriveID(a...)); err != nil {
			t.Fatal(err)
		}
		if same := len(a) == len(b) && strings.Join(a, "\xff") == strings.Join(b, "\xff"); (millrace.DeriveID(a...) == millrace.DeriveID(b...)) != same {
			t.Fatalf("%q and %q: the same parts must have the same id, and others another", a, b)
		}
	})
}

func wantInvalid(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, millrace.ErrInvalid) {
		t.Errorf("%s: got %v, want ErrInvalid", what, err)
	}
}

func TestMadeAt(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	at, ok := millrace.MadeAt(millrace.NewID())
	if after := time.Now(); !ok || at.Before(before) || at.After(after) {
		t.Errorf("made at %s, %t, between %s and %s", at, ok, before, after)
	}
	for _, id := range []string{"", "order-1042", millrace.DeriveID("x")} {
		if at, ok := millrace.MadeAt(id); ok {
			t.Errorf("%q was made at %s", id, at)
		}
	}
}
