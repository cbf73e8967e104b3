package orders

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// drawing is the one in docs/orders.md, and toldStep a row of the table below it: from,
// to, when.
var (
	drawing  = regexp.MustCompile("(?s)```mermaid\nstateDiagram-v2\n(.*?)```")
	toldStep = regexp.MustCompile(`(?m)^\| ` + "`([a-z_]+)` \\| `([a-z_]+)` \\| [^|]+ \\|$")
)

// The life of an order in docs/orders.md is the one in the code.
func TestDocsTellTheLifeOfAnOrder(t *testing.T) {
	text, err := os.ReadFile("../docs/orders.md")
	if err != nil {
		t.Fatal(err)
	}
	states := []State{Placed, AwaitingPayment, Paid, Fulfilled, Rejected, Cancelled, Expired}
	actions := []Action{Accept, Reject, Pay, Cancel, Expire, Fulfil}
	var drawn strings.Builder
	var steps, told []string
	drawn.WriteString("    [*] --> placed\n")
	for _, from := range states {
		for _, action := range actions {
			if to, fits := transitions[from][action]; fits {
				fmt.Fprintf(&drawn, "    %s --> %s: %s\n", from, to, action)
				steps = append(steps, string(from+" "+to))
			}
		}
	}
	for _, s := range states {
		if s.Final() {
			fmt.Fprintf(&drawn, "    %s --> [*]\n", s)
		}
	}
	if n := len(transitions[Placed]) + len(transitions[AwaitingPayment]) + len(transitions[Paid]); n != len(steps) || len(transitions) != 3 {
		t.Errorf("the code has %d steps from %d states, and %d of them were found", n, len(transitions), len(steps))
	}
	found := drawing.FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no diagram")
	}
	if diff := cmp.Diff(drawn.String(), string(found[1])); diff != "" {
		t.Errorf("the diagram (-code +docs):\n%s", diff)
	}
	for _, row := range toldStep.FindAllStringSubmatch(string(text), -1) {
		told = append(told, row[1]+" "+row[2])
	}
	if diff := cmp.Diff(steps, told); diff != "" {
		t.Errorf("the table below it (-code +docs):\n%s", diff)
	}
}
