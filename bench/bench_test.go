package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// The short form of three measurements, so that nothing here rots: one by HTTP, one
// by command, one of the command itself.
func TestQuickRun(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{"-quick", "-json", "-configs", "synced", "-only", "submit64,drain,start", "-dir", t.TempDir()}, &out, io.Discard)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for row, figure := range map[string]figure{"submit64": rate, "drain": rate, "draining": memory, "start": seconds} {
		cell := r.result(row, "synced")
		if cell == nil || cell.Figures[figure.name].Median <= 0 || len(cell.Bars) != 1 {
			t.Errorf("%s: %+v", row, cell)
		}
	}
}

func TestFlagsThatNameNothing(t *testing.T) {
	for _, args := range [][]string{{"-only", "nothing"}, {"-configs", "synced,nothing"}, {"-profile", "nothing"}, {"-rounds", "0"}, {"argument"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

func TestTable(t *testing.T) {
	r := &report{Rounds: 3, configs: configs(), measurements: measurements(), Versions: map[string]string{}}
	for i, v := range []float64{9_500, 8_000, 10_000} {
		r.add("submit64", "synced", figures{rate.name: v, p50.name: 6, p99.name: 12, otherCores.name: 0.5}, nil)
		r.add("submit64", "asynq-always", figures{rate.name: 19_000}, nil)
		r.add("latency", "synced", figures{p50.name: float64(i), p99.name: 20}, nil)
		r.add("drain", "1s", figures{rate.name: 50_000}, nil)
	}
	r.add("drain", "1s", nil, io.ErrUnexpectedEOF)
	r.conclude()
	var out bytes.Buffer
	if err := r.writeMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| submit, 64 connections | 9,500/s (8,000/s..10,000/s), p50 6 ms, p99 12 ms | ≥ 9,000/s | yes | – |",
		"| 19,000/s (19,000/s..19,000/s); Millrace: **0.50×** |",
		"| p50 1 ms (0 ms..2 ms), p99 20 ms (20 ms..20 ms) | p50 ≤ 3 ms, p99 ≤ 10 ms | yes, **no** |",
		"| drain 100,000 queued | – |  |  | **INVALID**, see below | ≥ 40,000/s | **no** |",
		"INVALID: drain, 1s: unexpected EOF",
		"**Not alone**: something else took up to 0.50 cores",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if r.invalid() == nil {
		t.Error("an invalid run is no error")
	}
}
