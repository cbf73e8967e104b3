package millrace

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Limit bounds how many tasks run at once, over all workers, and how many are begun in
// a time. It is for each queue, kind or key whose name matches, on its own: a limit
// of 5 for the kinds "mail.*" lets 5 of mail.send and 5 of mail.fetch run.
//
// A task that is held back waits outside its queue, without an attempt, a worker or a
// place that another one could have. Of those that wait for the same, the one that came
// first goes on first.
type Limit struct {
	Scope LimitScope `json:"scope"`
	// Match is a glob over the whole name, where "*" matches any run of characters.
	Match string `json:"match"`
	// Concurrency is how many may run at once. Zero means any number; for a key it
	// means one.
	Concurrency int `json:"concurrency,omitzero"`
	// Rate is how many may be begun in a time. Only kinds and keys have one.
	Rate Rate `json:"rate,omitzero"`
}

// LimitScope is what a limit counts.
type LimitScope string

// The scopes of limits. A key is what a submission says its task is about; see
// [Options].
const (
	LimitQueue LimitScope = "queue"
	LimitKind  LimitScope = "kind"
	LimitKey   LimitScope = "key"
)

// LimitScopes are all scopes, in the order in which a task comes to them.
func LimitScopes() []LimitScope { return []LimitScope{LimitKey, LimitKind, LimitQueue} }

// Rate is so many in each time. The zero value is no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// MaxRateTime is the longest time of a rate.
const MaxRateTime = 24 * time.Hour

// ParseRate reads a rate as configuration spells it: "100/s", "10/m", "1/h", "5/10s".
func ParseRate(s string) (Rate, error) {
	wrong := func() (Rate, error) {
		return Rate{}, invalid(`rate %q must be of the form COUNT/TIME, as in "100/s", "10/m" or "5/10s"`, s)
	}
	count, per, ok := strings.Cut(s, "/")
	if !ok || per == "" {
		return wrong()
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return wrong()
	}
	if per[0] < '0' || per[0] > '9' {
		per = "1" + per
	}
	d, err := time.ParseDuration(per)
	if err != nil {
		return wrong()
	}
	r := Rate{n, d}
	return r, r.validate()
}

func (r Rate) validate() error {
	if r == (Rate{}) {
		return nil
	}
	if r.Count < 1 || r.Count > 1_000_000 || r.Per < time.Second || r.Per > MaxRateTime {
		return invalid("rate %s: it must be 1 to 1,000,000 in 1s to %s", r, MaxRateTime)
	}
	return nil
}

// Interval is the time from one to the next.
func (r Rate) Interval() time.Duration { return r.Per / time.Duration(r.Count) }

// IsZero reports whether r is no limit.
func (r Rate) IsZero() bool { return r == Rate{} }

// String spells r as [ParseRate] reads it, as in "10/m" or "3/1h30m".
func (r Rate) String() string {
	per := r.Per.String()
	if strings.HasSuffix(per, "m0s") {
		per = strings.TrimSuffix(per, "0s")
	}
	if strings.HasSuffix(per, "h0m") {
		per = strings.TrimSuffix(per, "0m")
	}
	if per == "1s" || per == "1m" || per == "1h" {
		per = per[1:]
	}
	return fmt.Sprintf("%d/%s", r.Count, per)
}

// MarshalText spells r as [Rate.String] does.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [ParseRate] does.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}

// ParseLimit reads a limit as configuration spells it: what it is for, and how many at
// once, or in a time, or both: "kind:mail.*=5", "kind:mail.send=100/s",
// "key:customer:*=1,10/m", "queue:bulk=20".
func ParseLimit(s string) (Limit, error) {
	// A key may have an "=" of its own.
	i := strings.LastIndexByte(s, '=')
	scope, match, ok := strings.Cut(s[:max(i, 0)], ":")
	if !ok {
		return Limit{}, invalid(`limit %q must be of the form SCOPE:NAMES=LIMIT, as in "kind:mail.*=5", "key:customer:*=10/m" or "queue:bulk=20"`, s)
	}
	l := Limit{Scope: LimitScope(scope), Match: match}
	for part := range strings.SplitSeq(s[i+1:], ",") {
		if strings.Contains(part, "/") {
			rate, err := ParseRate(part)
			if err != nil {
				return Limit{}, err
			}
			l.Rate = rate
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil || n < 1 {
			return Limit{}, invalid(`limit %q: %q is neither how many at once, as in "5", nor in a time, as in "100/s"`, s, part)
		}
		l.Concurrency = n
	}
	return l, l.Validate()
}

// MaxConcurrency is the largest limit of tasks that run at once: as many as a queue
// hands out.
const MaxConcurrency = 10_000

// Validate says what is wrong with a limit, or nil.
func (l Limit) Validate() error {
	switch {
	case l.Scope != LimitQueue && l.Scope != LimitKind && l.Scope != LimitKey:
		return invalid("limit %s: its scope must be queue, kind or key, not %q", l, l.Scope)
	case l.Match == "" || len(l.Match) > MaxKeyLen:
		return invalid("limit %s: it must match something, in 1 to %d characters", l, MaxKeyLen)
	case !isGlob(l.Match):
		return invalid("limit %s: %q is no glob", l, l.Match)
	case l.Concurrency < 0 || l.Concurrency > MaxConcurrency:
		return invalid("limit %s: at once it must be 1 to %d", l, MaxConcurrency)
	case l.Scope == LimitQueue && !l.Rate.IsZero():
		return invalid("limit %s: a queue has no rate; its kinds and keys do", l)
	case l.Concurrency == 0 && l.Rate.IsZero():
		return invalid("limit %s: it limits nothing", l)
	}
	return l.Rate.validate()
}

// String spells l as [ParseLimit] reads it.
func (l Limit) String() string {
	var limits []string
	if l.Concurrency != 0 {
		limits = append(limits, strconv.Itoa(l.Concurrency))
	}
	if !l.Rate.IsZero() {
		limits = append(limits, l.Rate.String())
	}
	return string(l.Scope) + ":" + l.Match + "=" + strings.Join(limits, ",")
}

// LimitOf is the first limit that is for a name.
func LimitOf(limits []Limit, scope LimitScope, name string) (Limit, bool) {
	for _, l := range limits {
		if l.Scope == scope && globMatches(l.Match, name) {
			return l, true
		}
	}
	return Limit{}, false
}

// To path, a "/" separates, and here it is a character as any other.
var unslash = strings.NewReplacer("/", "\x00")

func isGlob(glob string) bool {
	_, err := path.Match(unslash.Replace(glob), "")
	return err == nil
}

func globMatches(glob, name string) bool {
	ok, err := path.Match(unslash.Replace(glob), unslash.Replace(name))
	return ok && err == nil
}
