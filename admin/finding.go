package admin

import "fmt"

// Level is how bad a finding is.
type Level string

// The levels: as it should be; works, but not for ever, or not as well as it could; does
// not work, or will lose something.
const (
	OK   Level = "OK"
	Warn Level = "WARN"
	Fail Level = "FAIL"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"` // what was looked at, such as "clock"
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // what to do about it
}

// report gathers findings.
type report []Finding

func (r *report) ok(check, format string, args ...any) {
	*r = append(*r, Finding{OK, check, fmt.Sprintf(format, args...), ""})
}

func (r *report) warn(check, do, format string, args ...any) {
	*r = append(*r, Finding{Warn, check, fmt.Sprintf(format, args...), do})
}

func (r *report) fail(check, do, format string, args ...any) {
	*r = append(*r, Finding{Fail, check, fmt.Sprintf(format, args...), do})
}

// Worst is the highest level among findings.
func Worst(all []Finding) Level {
	worst := OK
	for _, f := range all {
		if f.Level == Fail || f.Level == Warn && worst == OK {
			worst = f.Level
		}
	}
	return worst
}
