package scheduler_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"millrace/scheduler"
)

// expression is a cron expression and, apart from how it is written, what it
// means: for each field, from seconds on, the numbers that are due.
type expression struct {
	text string
	due  [6][]int
	// star says which fields begin with one.
	star [6]bool
}

// matches says whether a wall clock shows a due time, field by field.
func (e expression) matches(wall time.Time) bool {
	day := slices.Contains(e.due[3], wall.Day())
	weekday := slices.Contains(e.due[5], int(wall.Weekday())) || wall.Weekday() == time.Sunday && slices.Contains(e.due[5], 7)
	if e.star[3] || e.star[5] {
		day = day && weekday
	} else {
		day = day || weekday
	}
	return day && slices.Contains(e.due[0], wall.Second()) && slices.Contains(e.due[1], wall.Minute()) &&
		slices.Contains(e.due[2], wall.Hour()) && slices.Contains(e.due[4], int(wall.Month()))
}

// next goes from one step to the next until it comes to a due time; ok is false
// when there is none in so many. It knows about zones only what their clock shows.
func (e expression) next(after time.Time, zone *time.Location, step time.Duration, steps int) (due time.Time, ok bool) {
	everyHour := len(e.due[2]) == 24
	shown := wallClock(after, zone)
	for t := after.Add(-3 * time.Hour); t.Before(after); t = t.Add(step) {
		if wall := wallClock(t, zone); wall.After(shown) {
			shown = wall // the latest that the clock has shown, by which to know what it repeats
		}
	}
	before := wallClock(after, zone)
	for t := after.Add(step); steps > 0; t, steps = t.Add(step), steps-1 {
		wall := wallClock(t, zone)
		if everyHour {
			if e.matches(wall) {
				return t, true
			}
			continue
		}
		for jumped := before.Add(step); jumped.Before(wall); jumped = jumped.Add(step) {
			if e.matches(jumped) && jumped.After(shown) {
				return t, true
			}
		}
		if wall.After(shown) {
			if e.matches(wall) {
				return t, true
			}
			shown = wall
		}
		before = wall
	}
	return time.Time{}, false
}

// wallClock is what the clock of a zone shows, as if it were UTC's.
func wallClock(t time.Time, zone *time.Location) time.Time {
	y, mo, d := t.In(zone).Date()
	h, m, s := t.In(zone).Clock()
	return time.Date(y, mo, d, h, m, s, 0, time.UTC)
}

// fieldOf draws a field that may hold the numbers from low to high.
func fieldOf(low, high int) *rapid.Generator[expression] {
	return rapid.Custom(func(t *rapid.T) expression {
		var e expression
		var items []string
		for i := range rapid.IntRange(1, 3).Draw(t, "items") {
			a, b, step, text := low, high, 1, "*"
			switch form := rapid.IntRange(0, 4).Draw(t, "form"); form {
			case 0: // a star
			case 1, 2: // a number
				a = rapid.IntRange(low, high).Draw(t, "number")
				b, text = a, strconv.Itoa(a)
			default: // a range
				a = rapid.IntRange(low, high).Draw(t, "from")
				b = rapid.IntRange(a, high).Draw(t, "to")
				text = fmt.Sprintf("%d-%d", a, b)
			}
			if i == 0 {
				e.star[0] = text == "*"
			}
			if strings.ContainsAny(text, "*-") && rapid.Bool().Draw(t, "stepped") {
				step = rapid.IntRange(1, high).Draw(t, "step")
				text += "/" + strconv.Itoa(step)
			}
			for n := a; n <= b; n += step {
				e.due[0] = append(e.due[0], n)
			}
			items = append(items, text)
		}
		slices.Sort(e.due[0])
		e.due[0] = slices.Compact(e.due[0])
		e.text = strings.Join(items, ",")
		return e
	})
}

// expressionOf draws an expression of which only the fields named are not fixed:
// the others are "*" if they are days or months, and 0 if they are of the clock.
func expressionOf(varied string) *rapid.Generator[expression] {
	return rapid.Custom(func(t *rapid.T) expression {
		var e expression
		var words []string
		for i, f := range []struct {
			name      string
			low, high int
		}{{"s", 0, 59}, {"m", 0, 59}, {"h", 0, 23}, {"D", 1, 31}, {"M", 1, 12}, {"W", 0, 7}} {
			drawn := expression{text: "0", due: [6][]int{{0}}}
			if strings.Contains(varied, f.name) {
				drawn = fieldOf(f.low, f.high).Draw(t, f.name)
			} else if i > 2 {
				drawn = expression{text: "*", star: [6]bool{true}}
				for n := f.low; n <= f.high; n++ {
					drawn.due[0] = append(drawn.due[0], n)
				}
			}
			e.due[i], e.star[i] = drawn.due[0], drawn.star[0]
			words = append(words, drawn.text)
		}
		e.text = strings.Join(words, " ")
		return e
	})
}

// Next agrees with going through time step by step.
func TestNextAgainstModel(t *testing.T) {
	year2026 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	jumps := func(days ...string) (nights []time.Time) {
		for _, d := range days {
			night, _ := time.Parse(time.DateOnly, d)
			nights = append(nights, night)
		}
		return nights
	}
	for _, c := range []struct {
		name, varied string
		zone         string
		around       []time.Time
		spread       int // start so many steps before or after
		step         time.Duration
		steps        int
	}{
		{"seconds", "smh", "UTC", []time.Time{year2026}, 100_000, time.Second, 2000},
		{"minutes", "mh", "UTC", []time.Time{year2026}, 1_000_000, time.Minute, 2000},
		{"days", "DMW", "UTC", []time.Time{year2026, year2026.AddDate(74, 0, 0)}, 2000, 24 * time.Hour, 2000},
		{"Berlin", "mhDW", "Europe/Berlin", jumps(slices.Concat(berlinSpring, berlinAutumn)...), 600, time.Minute, 2000},
		{"New York", "mh", "America/New_York", jumps(slices.Concat(newYorkSpring, newYorkAutumn)...), 600, time.Minute, 2000},
		{"Lord Howe", "mh", "Australia/Lord_Howe", jumps(slices.Concat(lordHoweSpring, lordHoweAutumn)...), 1200, time.Minute, 2000},
		{"Cairo", "mhD", "Africa/Cairo", jumps("2026-04-24", "2026-10-29"), 600, time.Minute, 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone := location(t, c.zone)
			rapid.Check(t, func(t *rapid.T) {
				e := expressionOf(c.varied).Draw(t, "expression")
				after := rapid.SampledFrom(c.around).Draw(t, "around").Add(c.step * time.Duration(rapid.IntRange(-c.spread, c.spread).Draw(t, "steps")))
				r, err := scheduler.Parse(byCron(e.text, c.zone))
				if err != nil {
					t.Fatalf("%s: %v", e.text, err)
				}
				want, due := e.next(after, zone, c.step, c.steps)
				got, ok := r.Next(after)
				if due && (!ok || !got.Equal(want)) {
					t.Fatalf("%s after %s: got %s, %v, want %s", e.text, after.In(zone), got.In(zone), ok, want.In(zone))
				}
				if end := after.Add(c.step * time.Duration(c.steps)); !due && ok && !got.After(end) {
					t.Fatalf("%s after %s: got %s, want none before %s", e.text, after.In(zone), got.In(zone), end.In(zone))
				}
			})
		})
	}
}
