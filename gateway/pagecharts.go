package gateway

import (
	"fmt"
	"html/template"
	"math"

	"millrace/gateway/dashboard"
)

// shownChart is a chart of the overview.
type shownChart struct {
	Title string
	Chart template.HTML
}

// chartWindows are those that the overview has, of which the first is shown unless
// another is asked for.
var chartWindows = []string{"15m", "1h", "24h"}

// chartWindow is the window that was asked for.
func chartWindow(asked string) string {
	for _, w := range chartWindows {
		if w == asked {
			return w
		}
	}
	return chartWindows[0]
}

// chartsOf draws what was done over time.
func chartsOf(s statsView) []shownChart {
	line := func(name string, of func(*statsPoint) *float64) dashboard.Line {
		l := dashboard.Line{Name: name, Values: make([]*float64, len(s.Points))}
		for i := range s.Points {
			l.Values[i] = of(&s.Points[i])
		}
		return l
	}
	draw := func(title string, say func(float64) string, lines ...dashboard.Line) shownChart {
		return shownChart{title, dashboard.Chart(title, s.From, say, lines...)}
	}
	count := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return []shownChart{
		draw("Throughput", func(v float64) string { return fmt.Sprintf("%.3g/s", v) },
			line("finished", func(p *statsPoint) *float64 { return &p.Throughput })),
		draw("Failure ratio", func(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) },
			line("failed", func(p *statsPoint) *float64 { return p.Failing })),
		draw("Wait", dashboard.Seconds, line("p50", func(p *statsPoint) *float64 { return p.WaitP50 }), line("p99", func(p *statsPoint) *float64 { return p.WaitP99 })),
		draw("Run", dashboard.Seconds, line("p50", func(p *statsPoint) *float64 { return p.RunP50 }), line("p99", func(p *statsPoint) *float64 { return p.RunP99 })),
		draw("Backlog", count, line("waiting", func(p *statsPoint) *float64 {
			return mostOf(p, func(q statsQueue) float64 { return float64(q.Pending) }, true)
		})),
		draw("Oldest that waits", dashboard.Seconds, line("waited", func(p *statsPoint) *float64 {
			return mostOf(p, func(q statsQueue) float64 { return q.Oldest }, false)
		})),
	}
}

// mostOf is the sum over the queues, or the most of any; nil if nobody looked.
func mostOf(p *statsPoint, of func(statsQueue) float64, sum bool) *float64 {
	if len(p.Queues) == 0 {
		return nil
	}
	total := 0.0
	for _, q := range p.Queues {
		if sum {
			total += of(q)
		} else {
			total = math.Max(total, of(q))
		}
	}
	return &total
}
