package dashboard

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// orderStates are where the states of an order are drawn, and orderSteps what leads from
// one to the other.
var (
	orderStates = map[string][2]int{
		"placed": {10, 40}, "awaiting_payment": {190, 40}, "paid": {370, 40}, "fulfilled": {550, 40},
		"rejected": {10, 120}, "cancelled": {190, 120}, "expired": {370, 120},
	}
	orderSteps = [][2]string{
		{"placed", "awaiting_payment"},
		{"awaiting_payment", "paid"},
		{"paid", "fulfilled"},
		{"placed", "rejected"},
		{"placed", "cancelled"},
		{"awaiting_payment", "cancelled"},
		{"awaiting_payment", "expired"},
	}
)

const stateWidth, stateHeight = 140, 34

// OrderDiagram draws the states of an order: the one that it is in is lit, and those that
// it has been in are marked.
func OrderDiagram(now string, been []string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="diagram" viewBox="0 25 700 145" role="img" aria-label="The order is %s">`, template.HTMLEscapeString(now))
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8" /></marker></defs>`)
	for _, step := range orderSteps {
		from, to := orderStates[step[0]], orderStates[step[1]]
		x1, y1, x2, y2 := from[0]+stateWidth, from[1]+stateHeight/2, to[0], to[1]+stateHeight/2
		if to[1] > from[1] { // down
			x1, y1, x2, y2 = from[0]+stateWidth/2, from[1]+stateHeight, to[0]+stateWidth/2, to[1]
			if to[0] > from[0] { // and to the right
				x1, x2 = x1+30, x2-30
			}
		}
		fmt.Fprintf(&b, `<path d="M%d %d L%d %d" marker-end="url(#tip)"/>`, x1, y1, x2, y2)
	}
	names := make([]string, 0, len(orderStates))
	for name := range orderStates {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at, class := orderStates[name], ""
		switch {
		case name == now:
			class = ` class="now"`
		case slices.Contains(been, name):
			class = ` class="been"`
		}
		fmt.Fprintf(&b, `<g%s><rect x="%d" y="%d" width="%d" height="%d" rx="17"/><text x="%d" y="%d">%s</text></g>`,
			class, at[0], at[1], stateWidth, stateHeight, at[0]+stateWidth/2, at[1]+stateHeight/2+4, strings.ReplaceAll(name, "_", " "))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // made of our own words
}
