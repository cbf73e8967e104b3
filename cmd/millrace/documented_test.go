package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The commands in the documentation do what they say, one page after the other on a node
// of its own. What a page shows to be refused, it says so of.
func TestDocumentedCommands(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if blocks := shellBlocks(string(text)); len(blocks) > 0 {
			t.Run(filepath.Base(page), func(t *testing.T) {
				t.Parallel() // it mostly waits
				newReader(t, root).follow(blocks)
			})
		}
	}
}

var shellBlock = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```$")

func shellBlocks(page string) (blocks []string) {
	for _, m := range shellBlock.FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// reader follows a page in a shell, as somebody would who has its node running.
type reader struct {
	t     *testing.T
	dir   string
	env   []string
	here  *strings.Replacer // where on this machine all is that the page speaks of
	task  string            // the id that was shown last
	order string
}

// documentedSecret is what the pages sign payments with.
const documentedSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newReader(t *testing.T, root string) *reader {
	node := start(t, "millrace", "dev", "--listen", "127.0.0.1:0", "--nats-port", "0", "--metrics-listen", "127.0.0.1:0",
		"--payment-webhook-secret", documentedSecret, "--fulfil", "hand")
	api, broker, metrics := node.says(t, apiAddress), node.says(t, natsAddress), node.says(t, metricsAddress)
	r := &reader{t: t, dir: t.TempDir(), here: strings.NewReplacer(
		"127.0.0.1:8080", api, "127.0.0.1:4222", strings.TrimPrefix(broker, "nats://"), "127.0.0.1:9464", metrics,
	)}
	stock, err := stockTools()
	if err != nil {
		t.Fatal(err)
	}
	r.env = append(bareEnvironment(), "MILLRACE_SERVER=http://"+api, "NATS_URL="+broker, "MILLRACE_PAYMENT_WEBHOOK_SECRET="+documentedSecret,
		"XDG_CONFIG_HOME="+r.dir, "PATH="+stock+":"+os.Getenv("PATH"))
	self, err := exec.LookPath("millrace")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"bin/millrace": self, "orders": filepath.Join(root, "orders")} {
		link := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"first.ndjson": strings.Repeat(`{"customer_id": "17850", "currency": "GBP", "items": [{"sku": "71053", "quantity": 1, "unit_price_minor": 339}]}`+"\n", 6),
		"stock.ndjson": `{"sku": "85123A", "on_hand": 40}` + "\n",
		"order.json":   `{"order_id": "1002", "customer_id": "17850", "currency": "GBP", "items": [{"sku": "85123A", "quantity": 6, "unit_price_minor": 255}]}` + "\n",
		"tasks.ndjson": `{"id": "mail-7", "kind": "demo.echo"}` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.run("millrace order import first.ndjson\nfor i in {1..100}; do millrace order list --json | grep awaiting_payment && break; sleep 0.1; done\n")
	return r
}

// manners make a shell stop at what goes wrong, also over HTTP, and stop after a while
// what is to be stopped by hand.
const manners = `set -euo pipefail
for_a_while() { timeout -k 1 1 "$@" || test $? = 124; }
curl() {
	case "$1" in
	-N) for_a_while curl --fail-with-body "$@" ;;
	*) command curl --fail-with-body "$@" ;;
	esac
}
millrace() {
	case "$*" in
	*' watch'* | top) for_a_while millrace "$@" ;;
	*) command millrace "$@" ;;
	esac
}
nats() {
	case "$1" in
	sub) for_a_while nats "$@" ;;
	*) command nats "$@" ;;
	esac
}
`

// elsewhere is what begins in a terminal of its own, which the reader has done.
var elsewhere = regexp.MustCompile(`^export MILLRACE_|^(make|go|docker|systemctl|sudo) |^(bin/)?millrace (dev|serve|gateway|processor|scheduler)\b`)

// follow runs the blocks of a page one after the other. Variables last from one to the
// next.
func (r *reader) follow(blocks []string) {
	for _, block := range blocks {
		for _, command := range commands(block) {
			if elsewhere.MatchString(command) {
				continue
			}
			out, err := r.run(command)
			if (err != nil) != refused.MatchString(command) {
				r.t.Errorf("%s\n%s%v", command, out, err)
			}
		}
	}
}

// run runs a command with the variables that those before it have set.
func (r *reader) run(command string) (shown []byte, err error) {
	const variables = "variables"
	script := manners + "touch " + variables + "; . ./" + variables + "\n" + r.here.Replace(r.named(command)) +
		"\ndeclare -p | grep -E '^declare -[-x] ' > " + variables + "\n"
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.dir, r.env, time.Second
	dieWithParent(cmd)
	shown, err = cmd.CombinedOutput()
	r.remember(string(shown))
	return shown, err
}

// refused is what a page says behind a command that fails.
var refused = regexp.MustCompile(`#.*\brefused\b`)

// remember notes the ids that a command has shown.
func (r *reader) remember(shown string) {
	if m := anOrderID.FindStringSubmatch(shown); m != nil {
		r.order = m[1]
	}
	if ids := anID.FindAllString(shown, -1); len(ids) > 0 {
		r.task = ids[len(ids)-1]
	}
}

var anOrderID = regexp.MustCompile(`"order_id":"([^"]+)"`)

var anID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)

// named is a command with the last ids for those that a page cuts short.
func (r *reader) named(command string) string {
	command = regexp.MustCompile(`(orders/|order-events\.|order [a-z]+ )019a…`).ReplaceAllString(command, "${1}"+r.order)
	return strings.ReplaceAll(command, "019a…", r.task)
}

// commands are those of a block, each with all of its lines.
func commands(block string) (all []string) {
	var command string
	for line := range strings.Lines(block) {
		command += line
		if exec.Command("bash", "-n", "-c", command).Run() != nil || strings.HasSuffix(command, "\\\n") || unfinished(command) {
			continue
		}
		if strings.TrimSpace(command) != "" {
			all = append(all, command)
		}
		command = ""
	}
	if command != "" {
		all = append(all, command)
	}
	return all
}

var here = regexp.MustCompile(`<<'?(\w+)'?`)

// unfinished reports whether a command has a text inside that has not ended, which a
// shell takes for ended where the command ends.
func unfinished(command string) bool {
	m := here.FindStringSubmatch(command)
	return m != nil && !strings.Contains(command, "\n"+m[1]+"\n")
}
