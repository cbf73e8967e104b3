package millrace_test

import (
	"path"
	"strings"
	"testing"

	"millrace"
)

func TestParseRoute(t *testing.T) {
	for s, want := range map[string]millrace.Route{
		"mail.*=bulk":      {Kinds: "mail.*", Queue: "bulk"},
		"*=default":        {Kinds: "*", Queue: "default"},
		"*.export=bulk":    {Kinds: "*.export", Queue: "bulk"},
		"order.p[la]*=x-1": {Kinds: "order.p[la]*", Queue: "x-1"},
		"order.placed=Q_1": {Kinds: "order.placed", Queue: "Q_1"},
	} {
		if got, err := millrace.ParseRoute(s); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "=", "mail.*", "=bulk", "mail.*=", "mail.*=a.b", "mail.*=*", "mail.*=>", "mail.*= bulk", "mail.[=bulk", "[]=bulk", `mail\=bulk`,
		"a=b=c", "mail.*=bulk\r\n", "mail.*=" + strings.Repeat("q", 5<<10),
	} {
		_, err := millrace.ParseRoute(s)
		wantInvalid(t, "route "+s[:min(len(s), 20)], err)
	}
}

func TestRouteTo(t *testing.T) {
	var routes []millrace.Route
	for _, s := range []string{"order.cancelled=critical", "order.*=orders", "*.export=bulk", "mail.*=bulk", "mail.urgent=critical"} {
		r, err := millrace.ParseRoute(s)
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, r)
	}
	for kind, want := range map[string]string{
		"order.cancelled": "critical",
		"order.placed":    "orders",
		"order.a.b":       "orders",
		"order.export":    "orders", // the first match
		"stock.export":    "bulk",
		"mail.urgent":     "bulk", // the first match
		"order":           "default",
		"exports":         "default",
		"x.order.placed":  "default",
	} {
		if got := millrace.RouteTo(routes, kind); got != want {
			t.Errorf("%s goes to %s, want %s", kind, got, want)
		}
	}
	if got := millrace.RouteTo(nil, "any"); got != millrace.DefaultQueue {
		t.Errorf("without routes: %s", got)
	}
}

func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"mail.*=bulk", "*=default", "[a-z]*=x", `\*=x`, "[^a]=x", "[", "=", "a=b=c"} {
		f.Add(s, "mail.send")
	}
	f.Fuzz(func(t *testing.T, s, kind string) {
		r, err := millrace.ParseRoute(s)
		if err != nil {
			wantInvalid(t, s, err)
			return
		}
		if r.Kinds+"="+r.Queue != s {
			t.Fatalf("%q became %+v", s, r)
		}
		if err := millrace.ValidateQueue(r.Queue); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		// A glob that was taken must never be found broken later.
		matches, err := path.Match(r.Kinds, kind)
		if err != nil {
			t.Fatalf("%q against %q: %v", s, kind, err)
		}
		if got := millrace.RouteTo([]millrace.Route{r}, kind); matches && got != r.Queue || !matches && got != millrace.DefaultQueue {
			t.Fatalf("%q sends %q to %s", s, kind, got)
		}
	})
}
