package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// runVerb runs a client verb against that API to its end.
func runVerb(t *testing.T, api *client, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), "millrace", args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(bareEnvironment(), "MILLRACE_SERVER="+api.base)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok || ok && !exit.Exited() {
		t.Fatalf("millrace %v: %v: %s", args, err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestInterruptedImport stops an import and then kills the node during another. In
// the end each order is there once.
func TestInterruptedImport(t *testing.T) {
	sample, err := filepath.Abs(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	_, sensible := readSample(t)
	node, api := startDev(t, "--listen", fmt.Sprintf("127.0.0.1:%d", freePort(t)), "--ack-wait", "2s")
	importing := func(least uint64) *process {
		broker := inspect(t, node.says(t, natsAddress))
		p := start(t, "millrace", "order", "import", sample, "--server", api.base)
		eventually(t, func() error {
			if n := broker.state(t, "TASKS_default").LastSeq; n < least {
				return fmt.Errorf("%d orders of %d", n, least)
			}
			return nil
		})
		return p
	}
	first := importing(50)
	first.signal(t, os.Interrupt)
	if code := first.exitCode(t); code != 1 {
		t.Errorf("an import that is interrupted exits with %d", code)
	}
	if said, _ := first.output.current(); !strings.Contains(string(said), "run it again") {
		t.Errorf("an import that is interrupted says %s", said)
	}

	second := importing(150)
	node.kill()
	if err := node.launch(); err != nil {
		t.Fatal(err)
	}
	node.says(t, apiAddress)
	if code := second.exitCode(t); code != 1 { // for those that are refused
		t.Errorf("an import during which the node died exits with %d", code)
	}
	if said, _ := second.output.current(); !strings.Contains(string(said), fmt.Sprintf("%d orders accepted", sensible)) {
		t.Errorf("an import during which the node died says %s", said)
	}
	eventually(t, func() error {
		written := inspect(t, node.says(t, natsAddress)).written(t)
		if written["TASKS_default"] != uint64(sensible) || written["KV_orders"] != perOrder*uint64(sensible) {
			return fmt.Errorf("%d orders, and %v", sensible, written)
		}
		return nil
	})
}

// TestImportBesides is what can be wrong with a file, apart from its orders.
func TestImportBesides(t *testing.T) {
	const good, other = `{"reference":"1","currency":"GBP","items":[{"sku":"A","quantity":1,"unit_price_minor":5}]}`, `{"reference":"2","currency":"GBP","items":[{"sku":"BANK CHARGES","quantity":2,"unit_price_minor":5}]}`
	_, api := startDev(t)
	dir := t.TempDir()
	for _, c := range []struct {
		name, content string
		says          string // on either output
		code          int
	}{
		{"empty", "", "0 orders accepted, 0 lines refused.", 0},
		{"blank lines", "\n  \n\r\n" + good + "\n\n", "1 orders accepted, 0 lines refused.", 0},
		{"no line end", good, "1 orders accepted, 0 lines refused.", 0},
		{"BOM and CRLF", "\xef\xbb\xbf" + good + "\r\n" + other + "\r\n", "2 orders accepted, 0 lines refused.", 0},
		{"twice in a file", good + "\n" + good + "\n", "2 orders accepted", 0},
		{"not JSON", good + "\nreference;price\n" + other, "line 2 ", 1},
		{"no object", "[1]\n", "no JSON object", 1},
		{"cut off", good[:40], "no JSON object", 1},
		{"not the same", good + "\n" + strings.Replace(good, `:5`, `:6`, 1), "1 orders accepted, 1 lines refused.", 1},
		{"number for a reference", strings.Replace(good, `"1"`, `1`, 1), "reference: expected string", 1},
		{"unknown field", strings.Replace(good, `"sku"`, `"SKU"`, 1), "items[0].SKU: unexpected property", 1},
		{"too large", strings.Replace(good, `"1"`, `"`+strings.Repeat("x", 12<<20)+`"`, 1), "262144", 1},
		{"longer than a line", good + "\n" + strings.Repeat("x", 17<<20), "line 2 has more than 16 MiB", 1},
		{"text for the terminal", strings.Replace(good, `"1"`, `"\u001b[2J\n1"`, 1), "?[2J?1", 1},
		{"no reference", strings.Replace(good, `"reference":"1",`, "", 1), "1 orders accepted", 0},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			file := filepath.Join(dir, "orders.ndjson")
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := runVerb(t, api, "", "order", "import", file)
			if code != c.code || !strings.Contains(stdout+stderr, c.says) {
				t.Errorf("exit %d, want %d and %q:\n%.500s%.500s", code, c.code, c.says, stdout, stderr)
			}
			if len(stdout)+len(stderr) > 1000 {
				t.Errorf("that is a lot to read: %d bytes", len(stdout)+len(stderr))
			}
			// The same from standard input.
			again, _, code := runVerb(t, api, c.content, "order", "import", "-")
			if code != c.code || again != stdout {
				t.Errorf("from standard input: exit %d, %.500s", code, again)
			}
		})
	}
	if r := api.get(t, "/readyz"); r.status != http.StatusOK {
		t.Errorf("afterwards: %s", r)
	}
}

// TestImportWithoutServer is an import that nobody answers: it ends by itself, with
// word of what to do, and at once when it is told to.
func TestImportWithoutServer(t *testing.T) {
	t.Parallel() // it only waits
	sample, err := filepath.Abs(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	nowhere := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	patient := start(t, "millrace", "order", "import", sample, "--server", nowhere)
	stopped := start(t, "millrace", "order", "import", sample, "--server", nowhere)
	stopped.signal(t, syscall.SIGTERM)
	stopped.exitCode(t)
	select {
	case <-patient.ended:
		t.Error("an import gives up before the server can have been started again")
	default:
	}
	if code := patient.exitCode(t); code != 1 {
		t.Errorf("an import without a server exits with %d", code)
	}
	patient.says(t, regexp.MustCompile("nobody answers at "+nowhere+": is millrace running there"))
}
