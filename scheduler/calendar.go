package scheduler

import (
	"math/bits"
	"time"
)

// calendar is a cron expression once read: for each of its fields the set of the
// numbers that are due, number n being bit n. It knows no zones: its times are
// what a clock on the wall shows, as seconds since that clock showed 1970.
type calendar struct {
	second, minute, hour, day, month, weekday uint64
	// either says that a day is due which day or weekday has, not only one that
	// both have.
	either bool
}

const (
	day = 24 * 60 * 60
	// horizon is how many months ahead a day is looked for. The rarest that
	// there is, a 29 February on a given weekday, can take 40 years.
	horizon = 41 * 12
	// allHours is the set of an hour field that is "*".
	allHours = 1<<24 - 1
)

// next returns the first due time that is not before from. There may be none,
// as for 30 February.
func (c calendar) next(from int64) (due int64, ok bool) {
	clock := int(from % day)
	if clock < 0 {
		clock += day
	}
	midnight := from - int64(clock)
	date, ok := c.dateFrom(midnight)
	if date == midnight && ok {
		if clock, ok = c.clockFrom(clock); ok {
			return date + int64(clock), true
		}
		date, ok = c.dateFrom(midnight + day)
	}
	clock, _ = c.clockFrom(0)
	return date + int64(clock), ok
}

// dateFrom returns the first due day from the one that begins at midnight on.
func (c calendar) dateFrom(midnight int64) (date int64, ok bool) {
	year, month, first := time.Unix(midnight, 0).UTC().Date()
	for range horizon {
		if c.month&(1<<month) != 0 {
			if first, ok = atLeast(c.days(year, month), first); ok {
				return time.Date(year, month, first, 0, 0, 0, 0, time.UTC).Unix(), true
			}
		}
		first = 1
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return 0, false
}

// days returns the due days of a month, as a set.
func (c calendar) days(year int, month time.Month) uint64 {
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()
	length := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
	// The week is turned to begin as the month does, and repeated five times.
	week := (c.weekday>>first | c.weekday<<(7-first)) & (1<<7 - 1)
	days := week * (1 | 1<<7 | 1<<14 | 1<<21 | 1<<28) << 1
	if c.either {
		days |= c.day
	} else {
		days &= c.day
	}
	return days & (1<<(length+1) - 1)
}

// clockFrom returns the first due second of a due day that is not before clock.
func (c calendar) clockFrom(clock int) (due int, ok bool) {
	h, m, s := clock/3600, clock/60%60, clock%60
	second, ok := atLeast(c.second, s)
	if !ok {
		m++
	}
	minute, ok := atLeast(c.minute, m)
	if !ok {
		h++
	}
	hour, ok := atLeast(c.hour, h)
	// A later hour or minute than that of clock begins anew.
	if hour != clock/3600 {
		minute, _ = atLeast(c.minute, 0)
		second, _ = atLeast(c.second, 0)
	} else if minute != clock/60%60 {
		second, _ = atLeast(c.second, 0)
	}
	return hour*3600 + minute*60 + second, ok
}

// atLeast returns the first number of a set that is n or more.
func atLeast(set uint64, n int) (first int, ok bool) {
	set &= ^uint64(0) << n
	return bits.TrailingZeros64(set), set != 0
}
