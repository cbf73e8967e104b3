package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace/streams"
)

// statsWindows are how far back the charts go, and in which steps.
var statsWindows = map[string]struct{ window, step time.Duration }{
	"15m": {15 * time.Minute, time.Minute},
	"1h":  {time.Hour, time.Minute},
	"24h": {24 * time.Hour, 15 * time.Minute},
	"7d":  {7 * 24 * time.Hour, 3 * time.Hour},
	"90d": {90 * 24 * time.Hour, 24 * time.Hour},
}

type statsInput struct {
	Window string `query:"window" enum:"15m,1h,24h,7d,90d" default:"15m" doc:"How far back to look: in steps of 1 min, 1 min, 15 min, 3 h, and a day."`
}

type statsOutput struct{ Body statsView }

type statsView struct {
	Window string       `json:"window"`
	From   time.Time    `json:"from"`
	To     time.Time    `json:"to" doc:"The end of the last step, which may not be over if it is longer than a minute."`
	Step   float64      `json:"step_seconds"`
	Total  statsCounts  `json:"total" doc:"All of the window."`
	Points []statsPoint `json:"points" doc:"Its steps, the oldest first."`
	Disk   *diskView    `json:"disk,omitempty" doc:"How it is now; missing if that cannot be found out."`
}

type diskView struct {
	Used uint64 `json:"used_bytes" doc:"How much is taken of the disk that the broker writes to, or by what it keeps."`
	Size uint64 `json:"size_bytes,omitempty" doc:"How much there is, or how much it may keep; missing if there is no limit."`
}

type statsPoint struct {
	At time.Time `json:"at" doc:"When the step begins."`
	statsCounts
	Queues  []statsQueue `json:"queues" doc:"The most that each queue had when somebody looked, once a minute. None if no process ran."`
	Workers int          `json:"workers" doc:"The most workers that ran."`
	Busy    int          `json:"busy" doc:"The most handlers that ran at once."`
	Dead    uint64       `json:"dead" doc:"The most dead tasks that were kept."`
}

type statsCounts struct {
	Submitted  int64    `json:"submitted"`
	Succeeded  int64    `json:"succeeded"`
	Failed     int64    `json:"failed"`
	Cancelled  int64    `json:"cancelled"`
	Retried    int64    `json:"retried" doc:"Attempts that failed and are followed by another."`
	Throughput float64  `json:"throughput" doc:"Tasks that came to their end, a second."`
	Failing    *float64 `json:"failure_ratio,omitempty" doc:"How many of those that succeeded or failed have failed; missing if there were none."`
	WaitP50    *float64 `json:"wait_p50_seconds,omitempty" doc:"How long half of all runs waited at most, from when they were due and in their queue; missing if none began."`
	WaitP99    *float64 `json:"wait_p99_seconds,omitempty"`
	RunP50     *float64 `json:"run_p50_seconds,omitempty" doc:"How long half of all handlers took at most."`
	RunP99     *float64 `json:"run_p99_seconds,omitempty"`
}

type statsQueue struct {
	Name     string  `json:"name"`
	Pending  uint64  `json:"pending"`
	InFlight int     `json:"in_flight"`
	Oldest   float64 `json:"oldest_seconds" doc:"How long the first that waited had waited."`
	Entered  uint64  `json:"entered" doc:"How many tasks had come into it by then, since there was the queue; those that came back after they were put off count again."`
	Workers  int     `json:"workers" doc:"How many workers took tasks of it."`
}

func (g *Gateway) statsRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "get-stats", Method: http.MethodGet, Path: "/v1/stats", Tags: []string{"operation"},
		Summary:     "See what was done over time",
		Description: "The series behind the dashboard's charts: of all processes together, and kept by the broker, so that they go on when everything is started anew. What was done in a minute is told when that is over.",
		Errors:      []int{422, 503},
	}, g.getStats)
}

// statsDesk remembers each window for a few seconds: a history changes once a minute, and
// many may watch it.
type statsDesk struct {
	mu    sync.Mutex
	known map[string]statsKnown
}

type statsKnown struct {
	view statsView
	at   time.Time
}

const (
	statsFresh = 5 * time.Second
	// statsLate is how long after a minute its points are there: every process has a moment
	// of its own to write.
	statsLate = 4 * time.Second
)

func (g *Gateway) getStats(ctx context.Context, in *statsInput) (*statsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	g.stats.mu.Lock() // one asks, and the others have the answer
	defer g.stats.mu.Unlock()
	if k, ok := g.stats.known[in.Window]; ok && time.Since(k.at) < statsFresh {
		return &statsOutput{k.view}, nil
	}
	w := statsWindows[in.Window]
	// The step that is not over is shown if it is long, and else left out.
	to := time.Now().Add(-statsLate).Truncate(time.Minute)
	if w.step > time.Minute {
		to = to.Add(w.step)
	}
	series, err := g.store.History(ctx, to.Add(-w.window), to, w.step)
	if err != nil {
		return nil, err
	}
	view := viewStats(in.Window, series)
	if used, size, err := g.cfg.Disk(ctx); err == nil {
		view.Disk = &diskView{used, size}
	}
	if g.stats.known == nil {
		g.stats.known = map[string]statsKnown{}
	}
	g.stats.known[in.Window] = statsKnown{view, time.Now()}
	return &statsOutput{view}, nil
}

func viewStats(window string, s *streams.Series) statsView {
	v := statsView{
		Window: window, From: s.From, To: s.From.Add(time.Duration(len(s.Points)) * s.Step), Step: s.Step.Seconds(),
		Points: make([]statsPoint, len(s.Points)),
	}
	v.Total = viewCounts(s.Sum().Counts, v.To.Sub(v.From))
	for i, p := range s.Points {
		// The last step may not be over.
		over := min(s.Step, max(time.Minute, time.Since(p.At)-statsLate))
		v.Points[i] = statsPoint{
			At: p.At, statsCounts: viewCounts(p.Counts, over), Queues: make([]statsQueue, len(p.Queues)),
			Workers: p.Workers, Busy: p.Busy, Dead: p.Dead,
		}
		for j, q := range p.Queues {
			v.Points[i].Queues[j] = statsQueue{q.Queue, q.Pending, q.InFlight, q.Oldest, q.Entered, q.Workers}
		}
	}
	return v
}

func viewCounts(c streams.Counts, over time.Duration) statsCounts {
	v := statsCounts{
		Submitted: c.Submitted, Succeeded: c.Succeeded, Failed: c.Failed, Cancelled: c.Cancelled, Retried: c.Retried,
		Throughput: float64(c.Succeeded+c.Failed+c.Cancelled) / over.Seconds(),
	}
	if n := c.Succeeded + c.Failed; n > 0 {
		ratio := float64(c.Failed) / float64(n)
		v.Failing = &ratio
	}
	v.WaitP50, v.WaitP99 = quantile(c.Wait, 0.5), quantile(c.Wait, 0.99)
	v.RunP50, v.RunP99 = quantile(c.Run, 0.5), quantile(c.Run, 0.99)
	return v
}

// quantile is one in seconds, or nil.
func quantile(h streams.Histogram, q float64) *float64 {
	if h.Count() == 0 {
		return nil
	}
	seconds := h.Quantile(q).Seconds()
	return &seconds
}
