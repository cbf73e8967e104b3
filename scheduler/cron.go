package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"millrace"
)

// field is one of the fields of a cron expression: what it is called, from where
// to where its numbers go, and the names that they have, from the first on.
type field struct {
	name      string
	low, high int
	names     []string
}

var fields = []field{
	{"second", 0, 59, nil},
	{"minute", 0, 59, nil},
	{"hour", 0, 23, nil},
	{"day of month", 1, 31, nil},
	{"month", 1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{"day of week", 0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var macros = map[string]string{
	"@hourly":  "0 * * * *",
	"@daily":   "0 0 * * *",
	"@weekly":  "0 0 * * 0",
	"@monthly": "0 0 1 * *",
	"@yearly":  "0 0 1 1 *",
}

// parseCron reads an expression of five fields, of six with the seconds first,
// or a macro. See [Parse] for what it may hold.
func parseCron(expression string) (calendar, error) {
	expression = strings.ToLower(strings.TrimSpace(expression))
	if meaning, ok := macros[expression]; ok {
		expression = meaning
	}
	words := strings.Fields(expression)
	switch {
	case strings.HasPrefix(expression, "@"):
		return calendar{}, invalid("the macros are @hourly, @daily, @weekly, @monthly and @yearly, and \"@every 5m\" and \"@at 2027-01-01T00:00:00Z\"")
	case strings.HasPrefix(expression, "tz=") || strings.HasPrefix(expression, "cron_tz="):
		return calendar{}, invalid("the time zone has a field of its own, zone")
	case len(words) == 5:
		words = slices.Insert(words, 0, "0")
	case len(words) != 6:
		return calendar{}, invalid("there must be 5 fields, minute, hour, day of month, month, day of week, or 6 with the second first, not %d", len(words))
	}
	var sets [6]uint64
	for i, f := range fields {
		var err error
		if sets[i], err = f.parse(words[i]); err != nil {
			return calendar{}, err
		}
	}
	sets[5] |= sets[5] >> 7 // a Sunday as 7 is one as 0 too
	return calendar{
		second: sets[0], minute: sets[1], hour: sets[2], day: sets[3], month: sets[4], weekday: sets[5],
		either: !strings.HasPrefix(words[3], "*") && !strings.HasPrefix(words[5], "*"),
	}, nil
}

// parse reads a list of stars, numbers and ranges, of which stars and ranges may
// have a step.
func (f field) parse(list string) (set uint64, err error) {
	for item := range strings.SplitSeq(list, ",") {
		numbers, every, stepped := strings.Cut(item, "/")
		first, last, ranged := strings.Cut(numbers, "-")
		low, high, step := f.low, f.high, 1
		if numbers != "*" {
			if low, err = f.number(first); err != nil {
				return 0, err
			}
			high = low
		}
		if ranged {
			if high, err = f.number(last); err != nil {
				return 0, err
			}
		}
		if stepped {
			if step, err = strconv.Atoi(every); err != nil || step < 1 || step > f.high || numbers != "*" && !ranged {
				return 0, invalid("%s: the step of %.20q must be 1 to %d, after \"*\" or a range", f.name, item, f.high)
			}
		}
		if high < low {
			return 0, invalid("%s: %.20q ends before it begins", f.name, item)
		}
		for n := low; n <= high; n += step {
			set |= 1 << n
		}
	}
	return set, nil
}

func (f field) number(s string) (int, error) {
	if i := slices.Index(f.names, s); i >= 0 {
		return f.low + i, nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || int(n) < f.low || int(n) > f.high {
		names := ""
		if len(f.names) > 0 {
			names = fmt.Sprintf(" or %s to %s", f.names[0], f.names[len(f.names)-1])
		}
		return 0, invalid("%s: %.20q must be %d to %d%s", f.name, s, f.low, f.high, names)
	}
	return int(n), nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: cron: "+format, append([]any{millrace.ErrInvalid}, args...)...)
}
