package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func functions() template.FuncMap {
	return template.FuncMap{
		"asset":  func(name string) string { return assets().byName[name] },
		"when":   when,
		"stamp":  func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 2006 15:04:05 UTC") },
		"lasted": func(from, to time.Time) string { return lasted(to.Sub(from)) },
		"tone":   tone,
		"short":  short,
		"clip":   clip,
		"pretty": pretty,
		"bytes":  sizeOf,
		"number": number,
		"count":  count,
		"money":  Money,
		"rate":   rate,
	}
}

// when shows a time, which the script makes relative. What is no time, or none at all, is
// nothing.
func when(at any) template.HTML {
	var t time.Time
	switch v := at.(type) {
	case time.Time:
		t = v
	case *time.Time:
		if v != nil {
			t = *v
		}
	}
	if t.IsZero() {
		return ""
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time>`, t.Format("2006-01-02T15:04:05.000Z"), t.Format("2006-01-02 15:04:05 UTC")))
}

// lasted is a time span as short as it can be said.
func lasted(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	default:
		return d.Round(time.Second).String()
	}
}

// tone is the class that a state is shown in.
func tone(state string) string {
	switch state {
	case "succeeded", "fulfilled", "paid":
		return "good"
	case "failed", "rejected":
		return "bad"
	case "retrying", "awaiting_payment", "expired":
		return "warn"
	case "running":
		return "busy"
	}
	return ""
}

// short is an id as a list has it: the ends of ids made at the same time differ.
func short(id string) string {
	if len(id) <= 16 {
		return id
	}
	return id[:4] + "…" + id[len(id)-10:]
}

// clip is at most so many characters of a text, on one line.
func clip(most int, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}

// maxPretty is how many bytes of JSON a page shows.
const maxPretty = 32 << 10

// pretty is JSON with its lines indented, and cut if it is very long.
func pretty(data json.RawMessage) string {
	var out bytes.Buffer
	if json.Indent(&out, data, "", "  ") != nil {
		out.Reset()
		out.Write(data)
	}
	text := out.String()
	if len(text) > maxPretty {
		return strings.ToValidUTF8(text[:maxPretty], "") + fmt.Sprintf("\n… and %s more", sizeOf(len(text)-maxPretty))
	}
	return text
}

// integer is any number as one.
func integer(n any) int64 {
	switch v := reflect.ValueOf(n); {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(min(v.Uint(), math.MaxInt64))
	}
	return 0
}

// number is a number with its thousands apart.
func number(n any) string {
	digits := strconv.FormatInt(integer(n), 10)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return sign + digits
}

// count is so many of something. What has no plural in s says it.
func count(n any, one string, many ...string) string {
	word := one + "s"
	if len(many) > 0 {
		word = many[0]
	}
	if integer(n) == 1 {
		word = one
	}
	return number(n) + " " + word
}

// sizeOf is a number of bytes.
func sizeOf(n any) string {
	size, unit := float64(integer(n)), 0
	for size >= 1024 && unit < 4 {
		size, unit = size/1024, unit+1
	}
	digits := 0
	if unit > 0 && size < 10 {
		digits = 1
	}
	return strconv.FormatFloat(size, 'f', digits, 64) + " " + []string{"B", "KiB", "MiB", "GiB", "TiB"}[unit]
}

// rate is so many a second.
func rate(n float64) string {
	digits := 0
	switch {
	case n > 0 && n < 0.01:
		return "<0.01/s"
	case n > 0 && n < 1:
		digits = 2
	case n > 0 && n < 10:
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + "/s"
}

// Money is an amount in minor units as people write it. ISO 4217 says how many digits of
// a currency are behind the point: two, but for these.
func Money(minor int64, currency string) string {
	digits := 2
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF":
		digits = 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		digits = 3
	case "CLF", "UYW":
		digits = 4
	}
	sign := ""
	text := strconv.FormatInt(minor, 10)
	if minor < 0 {
		sign, text = "-", text[1:]
	}
	if digits > 0 {
		text = strings.Repeat("0", max(0, digits+1-len(text))) + text
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return sign + text + " " + currency
}
