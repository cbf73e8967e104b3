package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeMarkdown prints the table of the bars, and that of the cores, which tells
// what was the limit.
func (r *report) writeMarkdown(w io.Writer) error {
	var t strings.Builder
	fmt.Fprintf(&t, "## Millrace, measured\n\n%s. A write of 4 KiB with its sync takes %s (p99 %s). %d rounds in %s; median (min..max).\n",
		r.Machine, milliseconds(r.DiskP50.Median), milliseconds(r.DiskP99.Median), r.Rounds, r.Took)
	if r.Quick {
		t.WriteString("\n**The short form: these figures mean nothing.**\n")
	}
	for _, c := range r.configs {
		if c.like != "" {
			fmt.Fprintf(&t, "\n%s: %s%s.\n", c.title, r.Versions[c.name], c.reduced())
		}
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&t, "\nSkipped: %s.\n", s)
	}
	t.WriteString("\n")
	r.bars(&t)
	fmt.Fprintf(&t, "\nCores in use, of %d: by the system + the load generator + the kernel + other programs, and the system's CPU time per task; medians.\n\n", r.Machine.Cores)
	r.cores(&t)
	if busiest := r.busiest(); busiest > alone {
		fmt.Fprintf(&t, "\n**Not alone**: something else took up to %s cores, so the figures are worse than they would be.\n", cores(busiest))
	}
	r.errors(&t)
	_, err := io.WriteString(w, t.String())
	return err
}

// reduced says that a configuration was given fewer tasks.
func (c config) reduced() string {
	if c.fewer == 0 {
		return ""
	}
	return fmt.Sprintf("; given 1/%d of the tasks to finish and to drain", c.fewer)
}

func (r *report) bars(t *strings.Builder) {
	head := []string{"what"}
	for _, c := range r.configs {
		head = append(head, c.title)
		if c.like == "" {
			head = append(head, "bar", "met")
		}
	}
	line(t, head...)
	line(t, slices.Repeat([]string{"---"}, len(head))...)
	for _, m := range r.measurements {
		for _, row := range m.rows {
			cells := []string{row.title}
			for _, c := range r.configs {
				cells = append(cells, r.cells(row, c)...)
			}
			line(t, cells...)
		}
	}
}

// cells are what one configuration has in a row.
func (r *report) cells(row row, c config) []string {
	cell := r.result(row.name, c.name)
	text := "–"
	if cell != nil {
		text = cell.text(row)
	}
	if c.like != "" {
		return []string{text + r.ratio(row, c, cell)}
	}
	var bars, met []string
	if cell != nil {
		for _, v := range cell.Bars {
			bars = append(bars, v.Bar)
			met = append(met, map[bool]string{true: "yes", false: "**no**"}[v.Met])
		}
	}
	return []string{text, strings.Join(bars, ", "), strings.Join(met, ", ")}
}

// text is the row's figures: those that count with their spread, then the others.
func (c *result) text(row row) string {
	if len(c.Invalid) > 0 {
		return "**INVALID**, see below"
	}
	var parts []string
	for _, f := range row.figures {
		if s, ok := c.Figures[f.name]; ok {
			parts = append(parts, fmt.Sprintf("%s%s (%s..%s)", f.label, f.show(s.Median), f.show(s.Min), f.show(s.Max)))
		}
	}
	for _, f := range row.more {
		if s, ok := c.Figures[f.name]; ok {
			parts = append(parts, f.label+f.show(s.Median))
		}
	}
	return strings.Join(parts, ", ")
}

// ratio says how many times as fast Millrace is as the peer with the same promise.
func (r *report) ratio(row row, c config, peer *result) string {
	ours := r.result(row.name, c.like)
	if !row.compared || peer == nil || ours == nil || len(peer.Invalid)+len(ours.Invalid) > 0 {
		return ""
	}
	first := row.figures[0].name
	return fmt.Sprintf("; Millrace: **%.2f×**", ours.Figures[first].Median/peer.Figures[first].Median)
}

func (r *report) cores(t *strings.Builder) {
	head := []string{"what"}
	for _, c := range r.configs {
		head = append(head, c.title)
	}
	line(t, head...)
	line(t, slices.Repeat([]string{"---"}, len(head))...)
	for _, m := range r.measurements {
		row := m.rows[0]
		if m.command || m.own {
			continue // too short to tell
		}
		cells := []string{row.title}
		for _, c := range r.configs {
			cells = append(cells, r.result(row.name, c.name).cores())
		}
		line(t, cells...)
	}
}

func (c *result) cores() string {
	if c == nil || len(c.Invalid) > 0 {
		return "–"
	}
	var parts []string
	for _, f := range []figure{serverCores, loadCores, kernelCores, otherCores} {
		parts = append(parts, cores(c.Figures[f.name].Median))
	}
	perTask := c.Figures[serverCores.name].Median / c.Figures[rate.name].Median * 1e6
	return fmt.Sprintf("%s, %.0f µs", strings.Join(parts, " + "), perTask)
}

// busiest is the most that others took, by the medians.
func (r *report) busiest() float64 {
	most := 0.0
	for _, c := range r.Results {
		if s, ok := c.Figures[otherCores.name]; ok {
			most = max(most, s.Median)
		}
	}
	return most
}

func (r *report) errors(t *strings.Builder) {
	for _, c := range r.Results {
		for _, e := range c.Invalid {
			fmt.Fprintf(t, "\nINVALID: %s, %s: %s\n", c.Row, c.Config, strings.Join(strings.Fields(e), " "))
		}
	}
}

func line(t *strings.Builder, cells ...string) {
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}
