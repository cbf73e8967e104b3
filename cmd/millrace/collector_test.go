package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"millrace/test/collector"
)

// theCollector is under which name a script keeps the collector that it started.
const theCollector = "collector"

// scriptCollector returns the command "collector": it starts a collector, which is $COLLECTOR
// from then on.
func scriptCollector(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("usage: collector")
		}
		c := collector.New(t)
		*ts.Value(theCollector).(**collector.Collector) = c
		ts.Setenv("COLLECTOR", c.URL)
	}
}

// scriptSpans is "spans FILE": it waits until a trace has come as the file shows it: a span a
// line, with the service that it is of, below the span that it follows from.
func scriptSpans(ts *testscript.TestScript, neg bool, args []string) {
	c := *ts.Value(theCollector).(**collector.Collector)
	if neg || len(args) != 1 || c == nil {
		ts.Fatalf("usage: spans FILE, after collector")
	}
	want := ts.ReadFile(args[0])
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		trees := treesOf(c.Spans())
		if slices.Contains(trees, want) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no such trace has come in %s, but\n%s", patience, strings.Join(trees, "\n"))
		}
	}
}

func treesOf(spans []collector.Span) (trees []string) {
	for _, s := range spans {
		if s.Parent == "" {
			var tree strings.Builder
			writeTree(&tree, spans, s, 0)
			trees = append(trees, tree.String())
		}
	}
	return trees
}

func writeTree(to *strings.Builder, spans []collector.Span, s collector.Span, depth int) {
	fmt.Fprintf(to, "%s%s: %s\n", strings.Repeat("  ", depth), s.Service, s.Name)
	for _, below := range spans {
		if below.Trace == s.Trace && below.Parent == s.ID {
			writeTree(to, spans, below, depth+1)
		}
	}
}

// A node that is stopped sends the spans that it has, and one whose collector is not there
// works and stops all the same.
func TestStopsWithSpans(t *testing.T) {
	c := collector.New(t)
	for _, endpoint := range []string{c.URL, "http://127.0.0.1:1"} {
		p := start(t, "millrace", "dev", "--listen", "127.0.0.1:0", "--nats-port", "off", "--otlp-endpoint", endpoint)
		api := newClient(t, p.says(t, apiAddress))
		id := api.submit(t, `{"kind":"demo.echo","args":1}`)
		if _, err := api.finished(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		p.signal(t, os.Interrupt)
		if code := p.exitCode(t); code != 0 {
			t.Errorf("%s: exit code %d", endpoint, code)
		}
	}
	want := "millrace: POST /v1/tasks\n  millrace: process demo.echo\n"
	if trees := treesOf(c.Spans()); !slices.Contains(trees, want) {
		t.Errorf("there are\n%s", strings.Join(trees, "\n"))
	}
}
