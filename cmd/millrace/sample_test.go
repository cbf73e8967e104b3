package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleFile holds 512 real invoices, as they are; its README says where it is
// from and what is odd in it.
const sampleFile = "../../orders/testdata/online-retail-sample.ndjson"

// invoice is a line of the sample, and what the test itself makes of it.
type invoice struct {
	Reference string
	Items     []struct {
		Quantity int64
		Price    int64 `json:"unit_price_minor"`
	}
	total  int64
	refuse bool
}

func readSample(t *testing.T) (all []invoice, sensible int) {
	t.Helper()
	data, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		inv := decode[invoice](t, line)
		for _, item := range inv.Items {
			inv.total += item.Quantity * item.Price
			inv.refuse = inv.refuse || item.Quantity <= 0 || item.Price <= 0
		}
		if !inv.refuse {
			sensible++
		}
		all = append(all, inv)
	}
	return all, sensible
}

// jsonLines reads what --json prints: by line, since parallel imports print as
// they go.
func jsonLines(t *testing.T, stdout string) map[int]imported {
	t.Helper()
	lines := map[int]imported{}
	for text := range strings.Lines(stdout) {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		var l imported
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if _, twice := lines[l.Line]; twice {
			t.Errorf("line %d is told of twice", l.Line)
		}
		lines[l.Line] = l
	}
	return lines
}

// TestImportSample imports the real file, three times.
func TestImportSample(t *testing.T) {
	sample, err := filepath.Abs(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	invoices, sensible := readSample(t)
	node, api := startDev(t)
	broker := inspect(t, node.says(t, natsAddress))

	stdout, stderr, code := runVerb(t, api, "", "order", "import", sample)
	summary := fmt.Sprintf("%d orders accepted, %d lines refused.\n", sensible, len(invoices)-sensible)
	if code != 1 || !strings.HasSuffix(stdout, summary) || stderr != "" {
		t.Errorf("exit %d, on stderr %q, and at the end:\n%s", code, stderr, stdout[max(0, len(stdout)-300):])
	}
	checkReasons(t, stdout, invoices)

	// The same file again, and faster: the same answers, and no second order.
	one, _, code := runVerb(t, api, "", "order", "import", sample, "--json")
	eight, _, _ := runVerb(t, api, "", "order", "import", sample, "--json", "--parallel", "8")
	lines, again := jsonLines(t, one), jsonLines(t, eight)
	if code != 1 || len(lines) != len(invoices) || len(again) != len(invoices) {
		t.Fatalf("exit %d, %d and %d lines", code, len(lines), len(again))
	}
	inParallel(8, len(invoices), func(i int) {
		if l := lines[i+1]; l != again[i+1] {
			t.Errorf("line %d: %+v, and then %+v", i+1, l, again[i+1])
		} else {
			checkImported(t, api, invoices[i], l)
		}
	})
	written := broker.written(t)
	if written["TASKS_default"] != uint64(sensible) || written["KV_orders"] != perOrder*uint64(sensible) {
		t.Errorf("%d orders, and %v", sensible, written)
	}
}

// checkReasons checks that the summary has a reason for each line that is refused,
// in words that a shopkeeper understands.
func checkReasons(t *testing.T, summary string, invoices []invoice) {
	t.Helper()
	told := map[string]string{}
	for line := range strings.Lines(summary) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[0] == "line" {
			told[fields[1]] = line
		}
	}
	for i, inv := range invoices {
		line, refused := told[fmt.Sprint(i+1)]
		if refused != inv.refuse {
			t.Errorf("line %d: refused %t, want %t: %s", i+1, refused, inv.refuse, line)
			continue
		}
		want := ""
		switch {
		case !refused:
		case strings.HasPrefix(inv.Reference, "C"):
			want = "cancellation"
		case inv.Items[0].Quantity < 0:
			want = "return or a correction"
		}
		if refused && !strings.Contains(line, inv.Reference) || !strings.Contains(line, want) {
			t.Errorf("invoice %s, %q is not in: %s", inv.Reference, want, line)
		}
	}
}

// checkImported checks what --json says of a line, and that the order is there.
// It is for several goroutines.
func checkImported(t *testing.T, api *client, inv invoice, l imported) {
	if l.Reference != inv.Reference {
		t.Errorf("line %d is of %s, not %s", l.Line, inv.Reference, l.Reference)
	}
	if inv.refuse {
		if l.Error == "" || l.OrderID != "" || l.TaskID != "" {
			t.Errorf("line %d should be refused: %+v", l.Line, l)
		}
		return
	}
	if l.Error != "" || l.OrderID == "" || l.TaskID == "" {
		t.Errorf("line %d should be accepted: %+v", l.Line, l)
		return
	}
	order, err := api.decided(t.Context(), l.OrderID)
	if err != nil || order.State != "awaiting_payment" || order.TotalMinor != inv.total || order.Reference != inv.Reference {
		t.Errorf("invoice %s of %d: %+v, %v", inv.Reference, inv.total, order, err)
	}
	if task, err := api.finished(t.Context(), l.TaskID); err != nil || task.State != "succeeded" {
		t.Errorf("task of %s: %+v, %v", inv.Reference, task, err)
	}
}
