package dashboard

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

// Line is one of a chart's. A value that is nil is not known, and leaves a gap.
type Line struct {
	Name   string
	Values []*float64
}

// The space that a chart is drawn in.
const chartWidth, chartHeight = 600, 100

// Chart draws up to two lines over time, with what they are in words for who cannot see
// them. Say writes a value as a person would.
func Chart(title string, from time.Time, say func(float64) string, lines ...Line) template.HTML {
	top, last := 0.0, make([]string, len(lines))
	for i, l := range lines {
		last[i] = l.Name + " –"
		for _, v := range l.Values {
			if v != nil {
				top = math.Max(top, *v)
				last[i] = l.Name + " " + say(*v)
			}
		}
	}
	var b strings.Builder
	words := template.HTMLEscapeString(fmt.Sprintf("%s: %s, at most %s", title, strings.Join(last, ", "), say(top)))
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="%s"><title>%s</title>`,
		chartWidth, chartHeight, words, words)
	for _, y := range []int{0, chartHeight / 2, chartHeight} {
		fmt.Fprintf(&b, `<path class="grid" vector-effect="non-scaling-stroke" d="M0 %d H%d"/>`, y, chartWidth)
	}
	for i, l := range lines {
		for _, run := range runs(l.Values) {
			var points strings.Builder
			for j, v := range run.values {
				x := chartWidth * float64(run.first+j) / float64(max(1, len(l.Values)-1))
				y := chartHeight * (1 - v/math.Max(top, math.SmallestNonzeroFloat64))
				fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
				if len(run.values) == 1 { // a line needs two
					fmt.Fprintf(&points, "%.1f,%.1f ", x+1, y)
				}
			}
			fmt.Fprintf(&b, `<polyline class="%c" points="%s"/>`, 'a'+rune(min(i, 1)), strings.TrimSpace(points.String()))
		}
	}
	b.WriteString(`</svg><div class="legend">`)
	for i, l := range last {
		fmt.Fprintf(&b, `<span><i class="%c"></i>%s</span>`, 'a'+rune(min(i, 1)), template.HTMLEscapeString(l))
	}
	if len(lines) > 0 {
		fmt.Fprintf(&b, `<span>from %s, at most %s</span>`, when(from), template.HTMLEscapeString(say(top)))
	}
	b.WriteString(`</div>`)
	return template.HTML(b.String()) //nolint:gosec // made of numbers, and of words that are escaped
}

// known is values in a row that are known.
type known struct {
	first  int
	values []float64
}

func runs(values []*float64) (all []known) {
	open := false
	for i, v := range values {
		if v == nil {
			open = false
			continue
		}
		if !open {
			all = append(all, known{first: i})
			open = true
		}
		all[len(all)-1].values = append(all[len(all)-1].values, *v)
	}
	return all
}

// Seconds is a time span that is given in seconds, as short as it can be said.
func Seconds(s float64) string { return lasted(time.Duration(s * float64(time.Second))) }
