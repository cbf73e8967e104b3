package millrace_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"millrace"
)

func TestParseLimit(t *testing.T) {
	for spec, want := range map[string]millrace.Limit{
		"kind:mail.*=5":            {Scope: millrace.LimitKind, Match: "mail.*", Concurrency: 5},
		"kind:mail.send=100/s":     {Scope: millrace.LimitKind, Match: "mail.send", Rate: millrace.Rate{Count: 100, Per: time.Second}},
		"key:customer:*=1,10/m":    {Scope: millrace.LimitKey, Match: "customer:*", Concurrency: 1, Rate: millrace.Rate{Count: 10, Per: time.Minute}},
		"key:a=b/c=5/10s":          {Scope: millrace.LimitKey, Match: "a=b/c", Rate: millrace.Rate{Count: 5, Per: 10 * time.Second}},
		"queue:bulk=20":            {Scope: millrace.LimitQueue, Match: "bulk", Concurrency: 20},
		"kind:*=1000000/24h,10000": {Scope: millrace.LimitKind, Match: "*", Concurrency: 10_000, Rate: millrace.Rate{Count: 1_000_000, Per: 24 * time.Hour}},
	} {
		got, err := millrace.ParseLimit(spec)
		if err != nil || got != want {
			t.Errorf("%s is %+v, %v", spec, got, err)
		}
		if again, err := millrace.ParseLimit(got.String()); err != nil || again != want {
			t.Errorf("%s is spelled %s, which is %+v, %v", spec, got, again, err)
		}
	}
	for _, spec := range []string{
		"", "5", "mail.*=5", "kind:=5", "kind:mail=", "kind:mail=0", "kind:mail=-1", "kind:mail=x", "kind:mail=1/", "kind:mail=/s", "kind:mail=0/s",
		"kind:mail=5/ms", "kind:mail=5/25h", "kind:mail=1000001/s", "kind:mail=10001", "kind:[=5", "worker:a=5", "queue:bulk=5/s", "kind:mail",
		"key:" + strings.Repeat("x", 101) + "=1", "kind:mail=5/s/s",
	} {
		if l, err := millrace.ParseLimit(spec); !errors.Is(err, millrace.ErrInvalid) {
			t.Errorf("%q is %+v, %v", spec, l, err)
		}
	}
}

func TestLimitOf(t *testing.T) {
	limits := []millrace.Limit{
		{Scope: millrace.LimitKind, Match: "mail.send", Concurrency: 1},
		{Scope: millrace.LimitKind, Match: "mail.*", Concurrency: 2},
		{Scope: millrace.LimitKey, Match: "a/*", Concurrency: 3},
	}
	for name, want := range map[string]int{"mail.send": 1, "mail.fetch": 2, "mail.fetch.all": 2, "order.placed": 0} {
		if l, ok := millrace.LimitOf(limits, millrace.LimitKind, name); l.Concurrency != want || ok != (want > 0) {
			t.Errorf("that of %s is %+v, %t", name, l, ok)
		}
	}
	if l, _ := millrace.LimitOf(limits, millrace.LimitKey, "a/b/c"); l.Concurrency != 3 {
		t.Errorf("a key with slashes has %+v", l)
	}
}
