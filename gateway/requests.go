package gateway

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
)

// RouteCount is how often a route of the API was asked for, and how long that took.
type RouteCount struct {
	Method, Route string
	// Classes counts the answers by the first digit of their status; Below those that took
	// less than each of [RequestBounds]; Sum is how long all of them took.
	Classes map[int]uint64
	Below   []uint64
	Sum     time.Duration
}

// RequestBounds are those of the durations that requests are counted in.
func RequestBounds() []time.Duration {
	return []time.Duration{
		time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second,
	}
}

var requestBounds = RequestBounds()

// requestCount counts the requests of one route.
type requestCount struct {
	method, route string
	classes       [6]atomic.Uint64
	below         [13]atomic.Uint64 // of each bucket, and beyond all bounds
	sum           atomic.Int64
}

func (r *requestCount) count(status int, took time.Duration) {
	r.classes[min(max(status/100, 0), 5)].Add(1)
	i, _ := slices.BinarySearch(requestBounds, took)
	r.below[i].Add(1)
	r.sum.Add(int64(took))
}

// counted is handle, counted.
func (r *requestCount) counted(handle fiber.Handler) fiber.Handler {
	return func(c *fiber.Ctx) error {
		start := time.Now()
		err := handle(c)
		status := c.Response().StatusCode()
		if err != nil {
			status = problemOf(err).Status
		}
		r.count(status, time.Since(start))
		return err
	}
}

// Requests returns what was asked for since the start, one entry for each route that was.
func (g *Gateway) Requests() []RouteCount {
	var all []RouteCount
	for _, r := range g.requests() {
		out := RouteCount{Method: r.method, Route: r.route, Classes: map[int]uint64{}, Sum: time.Duration(r.sum.Load())}
		for class := range r.classes {
			if n := r.classes[class].Load(); n > 0 {
				out.Classes[class] = n
			}
		}
		var below uint64
		for i := range requestBounds {
			below += r.below[i].Load()
			out.Below = append(out.Below, below)
		}
		if len(out.Classes) > 0 {
			all = append(all, out)
		}
	}
	slices.SortFunc(all, func(a, b RouteCount) int {
		return strings.Compare(a.Route+" "+a.Method, b.Route+" "+b.Method)
	})
	return all
}
