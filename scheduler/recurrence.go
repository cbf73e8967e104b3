// Package scheduler knows when schedules are due.
//
// Start reading at recurrence.go: [Parse] and [Recurrence.Next] turn a schedule into
// its due times, DST nights included. calendar.go searches the days and hours of a
// cron expression, and cron.go reads it.
package scheduler

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // a container made from nothing but the binary has no zones of its own

	"millrace"
)

// Recurrence computes the due times of a schedule. It is a value: asking changes
// nothing, and any process computes the same. Make one with [Parse].
type Recurrence struct {
	at       time.Time
	every    int64 // seconds
	calendar calendar
	zone     *time.Location // nil without a calendar

	start, end time.Time // zero for none
	jitter     jitter
}

// Parse returns when a schedule is due, or everything that is wrong with it, which
// includes what [millrace.Schedule.Validate] finds. Errors wrap
// [millrace.ErrInvalid].
//
// Cron has five fields, minute (0-59), hour (0-23), day of month (1-31), month
// (1-12 or jan-dec) and day of week (0-7 or sun-sat; 0 and 7 are Sunday), or six
// with the second (0-59) first. Each is "*" or a list of numbers and ranges, "1,15"
// or "mon-fri"; "*" and ranges may have a step, "*/5" or "0-30/10". When neither
// day of month nor day of week begins with "*", a day is due that matches either.
// @hourly, @daily, @weekly, @monthly and @yearly stand for the first moment of each.
// It also takes what [millrace.Schedule.Canonical] does.
func Parse(s millrace.Schedule) (Recurrence, error) {
	s, err := s.Canonical()
	if err != nil {
		return Recurrence{}, err
	}
	// Due times are whole seconds, and never early.
	r := Recurrence{
		at: ceilSecond(s.At), every: int64(time.Duration(s.Every) / time.Second),
		start: ceilSecond(s.Start), end: s.End, jitter: jitter{s.Name, time.Duration(s.Jitter)},
	}
	errs := []error{s.Validate()}
	if s.Cron != "" {
		var err error
		r.calendar, err = parseCron(s.Cron)
		errs = append(errs, err)
		r.zone, err = loadZone(s.Zone)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return Recurrence{}, err
	}
	return r, nil
}

func ceilSecond(t time.Time) time.Time { return t.Add(time.Second - 1).Truncate(time.Second).UTC() }

func loadZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	// These are whatever the machine has been set to, so another one would compute other times.
	local := name == "Local" || name == "localtime" || name == "posixrules"
	if err != nil || local {
		return nil, fmt.Errorf("%w: zone must be the IANA name of a time zone, as in \"Europe/Berlin\", or left out for UTC", millrace.ErrInvalid)
	}
	return zone, nil
}

// Next returns the first due time after the given one, in UTC and whole seconds.
// ok is false when there is none any more: At or End has passed, or the days of Cron
// never come (30 February).
//
// Every is counted from the Unix epoch: with "1h" full hours are due, whenever the
// schedule was made, and nothing drifts.
//
// Cron is read on the clock of its zone, and where that clock jumps, as Vixie's
// cron does it:
//   - A time that the clock jumps over is due once, at the first instant after the
//     jump. If several are jumped over, they are due together, once.
//   - A time that comes twice is due the first time only.
//   - An expression for all 24 hours (hour "*") follows real time instead: it is due
//     whenever its minutes come, so every 30 minutes stays every 30 minutes.
func (r Recurrence) Next(after time.Time) (due time.Time, ok bool) {
	if first := r.start.Add(-time.Second); !r.start.IsZero() && after.Before(first) {
		after = first
	}
	due, ok = r.unbounded(after)
	return due, ok && (r.end.IsZero() || !due.After(r.end))
}

// unbounded is Next as if the schedule had neither start nor end.
func (r Recurrence) unbounded(after time.Time) (due time.Time, ok bool) {
	switch {
	case r.zone != nil:
		return r.nextByCalendar(after)
	case r.every > 0:
		periods := after.Unix() / r.every
		if after.Unix()%r.every >= 0 {
			periods++ // division rounds towards the epoch, so before it this is the next one already
		}
		return time.Unix(periods*r.every, 0).UTC(), true
	default:
		return r.at, r.at.After(after)
	}
}

// nextByCalendar goes from one period of the zone to the next. In each of them the
// clock differs from UTC by a constant, so that only their edges need care.
func (r Recurrence) nextByCalendar(after time.Time) (due time.Time, ok bool) {
	for t := after.Unix() + 1; ; {
		now := time.Unix(t, 0).In(r.zone)
		start, end := now.ZoneBounds()
		_, offset := now.Zone()
		from := t + int64(offset)
		if !start.IsZero() && r.calendar.hour != allHours {
			// The period begins at start, but its business is what the clock has not
			// shown before: forward, that includes what is jumped over; back, it
			// excludes what is repeated.
			_, before := start.Add(-time.Second).Zone()
			unseen := start.Unix() + int64(before)
			if from = max(from, unseen); t == start.Unix() {
				from = unseen
			}
		}
		wall, ok := r.calendar.next(from)
		if !ok {
			return time.Time{}, false
		}
		instant := max(wall-int64(offset), t)
		if end.IsZero() || instant < end.Unix() {
			return time.Unix(instant, 0).UTC(), true
		}
		// In a later period it may be another instant, but not by two days.
		t = max(end.Unix(), instant-2*day)
	}
}
