package dashboard

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Money(1530, "GBP"): "15.30 GBP", Money(5, "EUR"): "0.05 EUR", Money(0, "USD"): "0.00 USD", Money(1530, "JPY"): "1530 JPY",
		Money(1530, "KWD"): "1.530 KWD", Money(-7, "GBP"): "-0.07 GBP",
		number(1234567): "1\u202f234\u202f567", number(uint64(999)): "999", number(-1000): "-1\u202f000", number("x"): "0",
		sizeOf(0): "0 B", sizeOf(1536): "1.5 KiB", sizeOf(int64(1) << 30): "1.0 GiB", sizeOf(900 << 20): "900 MiB",
		count(1, "task"): "1 task", count(2, "task"): "2 tasks", count(2, "delivery", "deliveries"): "2 deliveries",
		lasted(1500 * time.Microsecond): "1.5 ms", lasted(40 * time.Millisecond): "40 ms", lasted(1500 * time.Millisecond): "1.5 s",
		lasted(90 * time.Second): "1m30s", lasted(-1): "0 ms",
		clip(5, "a  b\nc d e f"): "a b c…", clip(50, "ü\tä"): "ü ä",
		short("short"): "short", short("0190c0de-0000-7000-8000-000000000001"): "0190…0000000001",
		pretty(json.RawMessage(`{"a":[1]}`)): "{\n  \"a\": [\n    1\n  ]\n}", pretty(json.RawMessage(`not json`)): "not json", pretty(nil): "",
		string(when(time.Time{})): "", string(when((*time.Time)(nil))): "",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	long := pretty(json.RawMessage(`"` + strings.Repeat("ü", maxPretty) + `"`))
	if len(long) > maxPretty+100 || !strings.HasSuffix(long, " KiB more") {
		t.Errorf("%d bytes that end in %q", len(long), long[len(long)-20:])
	}
	if got := string(OrderDiagram("paid", []string{"placed", "awaiting_payment", "paid"})); strings.Count(got, `class="been"`) != 2 || strings.Count(got, `class="now"`) != 1 {
		t.Errorf("the diagram: %s", got)
	}
}
