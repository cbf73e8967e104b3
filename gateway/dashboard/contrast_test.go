package dashboard

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Text can be read against what is behind it, in both themes: WCAG 2.2, success criterion
// 1.4.3, wants 4.5 to 1 of small text, and 1.4.11 wants 3 to 1 of what shows where one is.
func TestContrast(t *testing.T) {
	data, err := os.ReadFile("assets/style.css")
	if err != nil {
		t.Fatal(err)
	}
	sheet := string(data)
	light := colours(t, sheet, ":root {")
	dark := colours(t, sheet, `:root[data-theme="dark"] {`)
	system := colours(t, sheet, `:root:not([data-theme="light"]) {`)
	if fmt.Sprint(dark) != fmt.Sprint(system) {
		t.Errorf("dark by choice is %v, dark by the system %v", dark, system)
	}
	text := [][2]string{
		{"text", "page"},
		{"text", "panel"},
		{"quiet", "page"},
		{"quiet", "panel"},
		{"link", "page"},
		{"link", "panel"},
		{"on-accent", "accent"},
		{"on-danger", "danger"},
		{"danger", "panel"},
		{"bad", "panel"},
		{"text", "idle-soft"},
		{"quiet", "idle-soft"},
	}
	for _, tone := range []string{"good", "warn", "bad", "busy", "idle"} {
		text = append(text, [2]string{tone, tone + "-soft"})
	}
	for theme, of := range map[string]map[string]float64{"light": light, "dark": dark} {
		for _, pair := range text {
			if c := contrast(of, pair); c < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f", theme, pair[0], pair[1], c)
			}
		}
		for _, pair := range [][2]string{{"accent", "panel"}, {"accent", "page"}, {"good", "panel"}, {"idle", "panel"}} {
			if c := contrast(of, pair); c < 3 {
				t.Errorf("%s: %s beside %s has a contrast of %.2f", theme, pair[0], pair[1], c)
			}
		}
	}
	if strings.Count(sheet, "#") != strings.Count(strings.Join(regexp.MustCompile(`--[a-z-]+: #[0-9a-f]{6};`).FindAllString(sheet, -1), ""), "#") {
		t.Error("the style sheet has a colour that is no custom property")
	}
}

func contrast(of map[string]float64, pair [2]string) float64 {
	a, b := of[pair[0]], of[pair[1]]
	return (max(a, b) + 0.05) / (min(a, b) + 0.05)
}

// colours are the relative luminances of the colours that a rule sets.
func colours(t *testing.T, sheet, rule string) map[string]float64 {
	t.Helper()
	_, rest, ok := strings.Cut(sheet, rule)
	body, _, _ := strings.Cut(rest, "}")
	all := map[string]float64{}
	for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllStringSubmatch(body, -1) {
		all[m[1]] = luminance(t, m[2])
	}
	if !ok || len(all) < 15 {
		t.Fatalf("%s has %d colours", rule, len(all))
	}
	return all
}

func luminance(t *testing.T, hex string) (l float64) {
	t.Helper()
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		l += weight * c
	}
	return l
}
