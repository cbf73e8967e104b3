package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// figure is a kind of number that comes out.
type figure struct {
	name string
	// show writes a value as the table does, with its unit.
	show func(float64) string
	// more is whether larger is better.
	more bool
	// label goes before the value where several figures share a cell.
	label string
}

var (
	rate    = figure{name: "rate", show: func(v float64) string { return thousands(v) + "/s" }, more: true}
	p50     = figure{name: "p50_ms", show: milliseconds, label: "p50 "}
	p99     = figure{name: "p99_ms", show: milliseconds, label: "p99 "}
	memory  = figure{name: "memory_mib", show: func(v float64) string { return fmt.Sprintf("%.0f MiB", v) }}
	seconds = figure{name: "seconds", show: func(v float64) string { return fmt.Sprintf("%.3f s", v) }}
	share   = figure{name: "percent", show: func(v float64) string { return fmt.Sprintf("%.0f %%", v) }, more: true}
	factor  = figure{name: "factor", show: func(v float64) string { return fmt.Sprintf("%.2f×", v) }, more: true}
	times   = figure{name: "times", show: func(v float64) string { return fmt.Sprintf("%.2f×", v) }}

	serverCores = figure{name: "server_cores"}
	loadCores   = figure{name: "load_cores"}
	kernelCores = figure{name: "kernel_cores"}
	otherCores  = figure{name: "other_cores"}
)

// milliseconds has three digits, and no exponent.
func milliseconds(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.3g ms", v)
}

func cores(v float64) string { return fmt.Sprintf("%.2f", v) }

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// thousands writes 12345.6 as 12,346, and no more digits than mean anything.
func thousands(v float64) string {
	if v >= 1000 {
		v = math.Round(v/10) * 10
	}
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// figures are the values of one run, by the figure's name.
type figures map[string]float64

func (f figures) add(more figures) figures {
	for name, v := range more {
		f[name] = v
	}
	return f
}

// spread is what several runs found of one figure.
type spread struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // in the order of the rounds
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1], Values: values}
}

// met reports whether the median keeps the bar.
func (b bar) met(s spread) bool {
	if b.figure.more {
		return s.Median >= b.limit
	}
	return s.Median <= b.limit
}

func (b bar) String() string {
	sign := "≤ "
	if b.figure.more {
		sign = "≥ "
	}
	return b.figure.label + sign + b.figure.show(b.limit)
}
