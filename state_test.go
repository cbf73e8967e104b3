package millrace_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace"
)

var states = []millrace.State{
	millrace.Pending, millrace.Scheduled, millrace.Running, millrace.Retrying,
	millrace.Succeeded, millrace.Failed, millrace.Cancelled,
}

func TestFinalStates(t *testing.T) {
	final := map[millrace.State]bool{millrace.Succeeded: true, millrace.Failed: true, millrace.Cancelled: true}
	for _, s := range append(states, "", "unheard of") {
		if s.Final() != final[s] {
			t.Errorf("%q: final is %v", s, s.Final())
		}
	}
}

func TestTransitions(t *testing.T) {
	for _, from := range states {
		for _, to := range states {
			switch can := from.CanBecome(to); {
			case from == millrace.Failed && to == millrace.Pending: // by a redrive
				if !can {
					t.Error("a failed task cannot be redriven")
				}
			case from.Final() && can:
				t.Errorf("%s is final, but can it become %s? %v", from, to, can)
			case from == to && can:
				t.Errorf("%s becomes itself", from)
			}
		}
		if !from.Final() && !from.CanBecome(millrace.Cancelled) {
			t.Errorf("%s cannot be cancelled", from)
		}
	}
	for _, path := range [][]millrace.State{
		{millrace.Pending, millrace.Running, millrace.Succeeded},
		{millrace.Scheduled, millrace.Pending, millrace.Running, millrace.Retrying, millrace.Running, millrace.Failed},
		{millrace.Running, millrace.Scheduled, millrace.Running, millrace.Pending},
		{millrace.Running, millrace.Retrying, millrace.Pending, millrace.Failed},
	} {
		for i := range path[1:] {
			if !path[i].CanBecome(path[i+1]) {
				t.Errorf("%s cannot become %s", path[i], path[i+1])
			}
		}
	}
	if millrace.State("unheard of").CanBecome(millrace.Pending) {
		t.Error("a state that does not exist has a future")
	}
}

// A task that ended has a way there from each state, and no state is an island.
func TestEveryStateIsReached(t *testing.T) {
	reached := map[millrace.State]bool{millrace.Pending: true, millrace.Scheduled: true}
	for range states {
		for _, from := range states {
			for _, to := range states {
				if reached[from] && from.CanBecome(to) {
					reached[to] = true
				}
			}
		}
	}
	for _, s := range states {
		if !reached[s] {
			t.Errorf("no task ever is %s", s)
		}
	}
}

// diagram is the one in docs/concepts.md, and toldState a row of the table below it:
// from, to, when.
var (
	diagram   = regexp.MustCompile("(?s)```mermaid\nstateDiagram-v2\n(.*?)```")
	toldState = regexp.MustCompile(`(?m)^\| ` + "`([a-z]+)` \\| `([a-z]+)` \\| [^|]+ \\|$")
)

// The life of a task in docs/concepts.md is the one in the code.
func TestConceptsTellTheLifeOfATask(t *testing.T) {
	text, err := os.ReadFile("docs/concepts.md")
	if err != nil {
		t.Fatal(err)
	}
	var drawn strings.Builder
	var steps, told []string
	drawn.WriteString("    [*] --> pending\n    [*] --> scheduled\n")
	for _, from := range states {
		for _, to := range states {
			if from.CanBecome(to) {
				fmt.Fprintf(&drawn, "    %s --> %s\n", from, to)
				steps = append(steps, string(from+" "+to))
			}
		}
	}
	for _, s := range states {
		if s.Final() {
			fmt.Fprintf(&drawn, "    %s --> [*]\n", s)
		}
	}
	found := diagram.FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no diagram")
	}
	if diff := cmp.Diff(drawn.String(), string(found[1])); diff != "" {
		t.Errorf("the diagram (-code +docs):\n%s", diff)
	}
	for _, row := range toldState.FindAllStringSubmatch(string(text), -1) {
		told = append(told, row[1]+" "+row[2])
	}
	if diff := cmp.Diff(steps, told); diff != "" {
		t.Errorf("the table below it (-code +docs):\n%s", diff)
	}
}
