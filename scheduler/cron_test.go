package scheduler_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"millrace"
	"millrace/scheduler"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ cron, zone, says string }{
		{" ", "", "5 fields"},
		{"* * * *", "", "5 fields"},
		{"* * * * * * *", "", "not 7"},
		{"60 * * * *", "", `minute: "60" must be 0 to 59`},
		{"60 * * * * *", "", `second: "60" must be 0 to 59`},
		{"* 24 * * *", "", `hour: "24" must be 0 to 23`},
		{"* * 0 * *", "", `day of month: "0" must be 1 to 31`},
		{"* * 32 * *", "", `day of month: "32" must be 1 to 31`},
		{"* * * 13 *", "", `month: "13" must be 1 to 12 or jan to dec`},
		{"* * * * 8", "", `day of week: "8" must be 0 to 7 or sun to sat`},
		{"* * * january *", "", `month: "january" must be`},
		{"jan * * * *", "", `minute: "jan" must be 0 to 59`},
		{"-5 * * * *", "", `minute: "" must be`},
		{"+5 * * * *", "", `minute: "+5" must be`},
		{"5- * * * *", "", `minute: "" must be`},
		{"1-2-3 * * * *", "", "must be"},
		{"1,,2 * * * *", "", "must be"},
		{"99999999999999999999 * * * *", "", "must be"},
		{"30-10 * * * *", "", `minute: "30-10" ends before it begins`},
		{"* 22-6 * * *", "", `hour: "22-6" ends before it begins`},
		{"*/0 * * * *", "", `the step of "*/0" must be 1 to 59`},
		{"*/90 * * * *", "", `the step of "*/90" must be 1 to 59`},
		{"*/-1 * * * *", "", "the step of"},
		{"*/ * * * *", "", "the step of"},
		{"5/10 * * * *", "", `the step of "5/10" must be 1 to 59, after "*" or a range`},
		{"*-5 * * * *", "", "must be"},
		{"** * * * *", "", "must be"},
		{"? * * * *", "", "must be"},
		{"* * L * *", "", "must be"},
		{"* * * * mon#1", "", "must be"},
		{"@reboot", "", "@hourly"},
		{"@every", "", "@every goes with a duration"},
		{"@every often", "", "@every goes with a duration"},
		{"@every 1500ms", "", "every must be 1s or more"},
		{"@every 0s", "", "every must be 1s or more"},
		{"@every 5m", "Europe/Berlin", "zone goes with cron"},
		{"@at noon", "", "@at goes with a time"},
		{"@at 2027-01-01", "", "@at goes with a time"},
		{"@at 2027-01-01T00:00:00Z", "UTC", "zone goes with cron"},
		{"TZ=UTC * * * * *", "", "zone"},
		{"CRON_TZ=Europe/Berlin 0 9 * * *", "", "zone"},
		{"* * * * *", "Europe/Atlantis", "zone must be"},
		{"* * * * *", "../../etc/passwd", "zone must be"},
		{"* * * * *", "Local", "zone must be"},
		{"* * * * *", "localtime", "zone must be"},
		{"* * * * *", "+02:00", "zone must be"},
		{"61 * * * *", "Europe/Atlantis", "minute"},
		{strings.Repeat("1,", 500) + " * * * *", "", "at most 256"},
	} {
		_, err := scheduler.Parse(byCron(c.cron, c.zone))
		if !errors.Is(err, millrace.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q in %q: got %v, want ErrInvalid that says %s", c.cron, c.zone, err, c.says)
		}
	}
}

func TestParseRefusesAnInvalidSchedule(t *testing.T) {
	_, err := scheduler.Parse(millrace.Schedule{Cron: "61 * * * *", Zone: "Atlantis", Every: 1})
	for _, field := range []string{"name", "kind", "exactly one", "every must", "minute", "zone"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("the error says nothing of %s: %v", field, err)
		}
	}
}

// Whatever is written, reading it does not panic, what is refused says so in a few
// plain lines, and what is taken finds its next time, or that there is none, fast.
func FuzzParse(f *testing.F) {
	for _, cron := range []string{
		"*/5 * * * *", "0 0 29 2 *", "0 0 30 2 *", "0 0 29 2 */7", "0 9 * jan-mar mon-fri", "@daily", "@every 5m", "15,45 * * * * *", "0 0 13 * fri",
		"*/0 * * * *", "5/5 * * * *", "1-0 * * * *", "TZ=UTC * * * * *", "* * * * * * *", "", "\x00", "* * * * \xff", "0 0 31 2,4,6,9,11 *",
	} {
		f.Add(cron, "Europe/Berlin", int64(1_800_000_000))
		f.Add(cron, "", int64(-1))
	}
	f.Add("30 2 * * *", "Pacific/Apia", int64(1_325_239_200))
	f.Add("* * * * *", "../../../etc/localtime", int64(1<<40))
	f.Fuzz(func(t *testing.T, cron, zone string, after int64) {
		r, err := scheduler.Parse(byCron(cron, zone))
		if err != nil {
			if !errors.Is(err, millrace.ErrInvalid) || len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\r\x00") || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q in %q: the error is %q", cron, zone, err)
			}
			return
		}
		from := time.Unix(after%(1<<37), 0) // some four thousand years around 1970
		began := time.Now()
		due, ok := r.Next(from)
		if took := time.Since(began); took > time.Second {
			t.Fatalf("%q in %q after %s took %s", cron, zone, from, took)
		}
		if ok && (!due.After(from) || due.Location() != time.UTC || due.Nanosecond() != 0) {
			t.Fatalf("%q in %q after %s: got %s", cron, zone, from, due)
		}
	})
}
