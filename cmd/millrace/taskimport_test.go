package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestInterruptedTaskImport stops an import, stops the next one while its node is dead,
// and lets the last one outlast the death of the node. Each says how to go on, and in the
// end every task is there once, though none has an id of its own.
func TestInterruptedTaskImport(t *testing.T) {
	const n = 20_000
	var tasks strings.Builder
	for i := range n {
		fmt.Fprintf(&tasks, `{"kind": "demo.echo", "queue": "bulk", "args": {"n": %d, "text": %q}}`+"\n", i, strings.Repeat("x", 400))
	}
	file := filepath.Join(t.TempDir(), "tasks.ndjson")
	if err := os.WriteFile(file, []byte(tasks.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	// In another queue than what the node does on its own.
	node, api := startDev(t, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)))
	count := func() uint64 {
		return inspect(t, node.says(t, natsAddress)).state(t, "TASKS_bulk").LastSeq
	}
	importing := func(least uint64, flags ...string) *process {
		p := start(t, "millrace", append([]string{"task", "import", file, "--server", api.base}, flags...)...)
		broker := inspect(t, node.says(t, natsAddress))
		eventually(t, func() error {
			if n := broker.state(t, "TASKS_bulk").LastSeq; n < least {
				return fmt.Errorf("%d tasks of %d", n, least)
			}
			return nil
		})
		return p
	}
	goOn := func(p *process, how string) []string {
		t.Helper()
		if code := p.exitCode(t); code != 1 {
			t.Errorf("an import that is interrupted exits with %d", code)
		}
		said, _ := p.output.current()
		found := regexp.MustCompile(`millrace: stopped after \d+ lines; run it again ` + how + ` to go on, nothing is submitted twice: `).FindStringSubmatch(string(said))
		if found == nil {
			t.Fatalf("an import that is interrupted says %s", said)
		}
		return found
	}
	revive := func() {
		t.Helper()
		if err := node.launch(); err != nil {
			t.Fatal(err)
		}
		node.says(t, apiAddress)
	}
	first := importing(500)
	first.signal(t, os.Interrupt)
	key := goOn(first, `with (--idempotency-key) (\S+)`)[1:]

	second := importing(6000, key...)
	node.kill()
	second.signal(t, syscall.SIGTERM)
	goOn(second, "as it is")
	revive()

	third := importing(14_000, key...)
	node.kill()
	revive()
	if code := third.exitCode(t); code != 0 {
		t.Errorf("an import during which the node died exits with %d", code)
	}
	if said, _ := third.output.current(); !strings.Contains(string(said), fmt.Sprintf("%d tasks accepted, 0 lines refused.", n)) {
		t.Errorf("an import during which the node died says %s", said)
	}
	if found := count(); found != n {
		t.Errorf("%d tasks were submitted, and %d are there", n, found)
	}
	if out, errs, code := runVerb(t, api, "", "task", "import", file, key[0], key[1], "--json"); code != 0 || strings.Count(out, `"replayed":true`) != n {
		t.Errorf("again, it exits with %d: %.300s", code, errs)
	}
	if found := count(); found != n {
		t.Errorf("%d tasks were submitted again, and %d are there", n, found)
	}
}

// All of them or none, where nobody answers: it says how to be sure.
func TestTaskImportTogetherWithoutServer(t *testing.T) {
	t.Parallel() // it only waits
	api := &client{base: fmt.Sprintf("http://127.0.0.1:%d", freePort(t))}
	for how, flags := range map[string][]string{"with --idempotency-key [0-9a-f-]+": nil, "as it is": {"--idempotency-key", "monday"}} {
		out, errs, code := runVerb(t, api, `{"kind":"k"}`, append([]string{"task", "import", "-", "--atomic"}, flags...)...)
		if want := regexp.MustCompile("run it again " + how + " to be sure, nothing is submitted twice: nobody answers at "); code != 1 || !want.MatchString(errs) {
			t.Errorf("it exits with %d and says %s%s", code, out, errs)
		}
	}
}

// A list of more tasks than one page has goes on where it says, until all have been
// seen, each once.
func TestTaskListGoesOn(t *testing.T) {
	_, api := startDev(t)
	const n, page = 1100, 300
	tasks := strings.Repeat(`{"kind": "demo.echo", "delay": "24h"}`+"\n", n)
	if out, errs, code := runVerb(t, api, tasks, "task", "import", "-"); code != 0 {
		t.Fatal(out, errs)
	}
	seen := map[string]bool{}
	hint := regexp.MustCompile(`go on with --after '?([^' ,]+)'?, or set a larger --limit`)
	var after []string
	for pages := 1; ; pages++ {
		args := append([]string{"task", "list", "--state", "scheduled", "--limit", fmt.Sprint(page), "--json"}, after...)
		out, errs, code := runVerb(t, api, "", args...)
		if code != 0 {
			t.Fatal(errs)
		}
		for line := range strings.Lines(out) {
			id := decode[struct{ ID string }](t, []byte(line)).ID
			if id == "" || seen[id] {
				t.Fatalf("%q is listed again on page %d", id, pages)
			}
			seen[id] = true
		}
		said := hint.FindStringSubmatch(errs)
		if said == nil {
			if len(seen) != n || pages < n/page {
				t.Errorf("%d of %d on %d pages; the last one says %s", len(seen), n, pages, errs)
			}
			return
		}
		after = []string{"--after", said[1]}
	}
}
