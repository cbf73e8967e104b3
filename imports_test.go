package millrace_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// house says on which floor a package lives. It may import our packages from
// lower floors only, so those on one floor never meet. A name that ends in /...
// stands for everything in that folder. Tests may import what they like.
var house = []struct {
	pkg   string
	floor int
	why   string
}{
	{"millracetest", 7, "runs a whole Millrace for somebody's tests, on the broker that our own run on; nothing that is not a test may need it"},
	{"test/...", 6, "tests of the whole put any of the parts together, and what tests share, such as their broker, is for tests only"},
	{"examples/...", 6, "an example shows a user's program, which may use any of our packages"},
	{"cmd/millrace", 5, "the command knows all the others, so that none of them has to"},
	{"gateway", 4, "HTTP on top of the tasks and the orders: no domain rule may depend on how it is asked for"},
	{"metrics", 4, "gives names to what the parts have counted: none of them knows who reads it"},
	{"gateway/dashboard", 3, "renders what it is given: it knows neither requests nor what is kept, so a page can do nothing that the API cannot"},
	{"orders", 3, "a domain like a user's own: it runs on the engine, and the engine does not know it"},
	{"admin", 2, "looks after the broker as a whole, which it knows from the store's plan; no process that works needs it"},
	{"alerts", 3, "judges what the store tells of all parts, and tells people: no part knows that it is watched"},
	{"signing", 1, "how webhooks are signed is the same for those that come and those that go, and has to do with nothing else"},
	{"processor", 2, "runs handlers on deliveries: it sees the store, but neither HTTP nor orders"},
	{"scheduler", 2, "says when tasks are submitted, and the processor carries them out: they meet in the store only"},
	{"streams", 1, "the only way to the broker, in this process or far away: it need not know which"},
	{"client", 1, "for programs that give work to Millrace: they speak HTTP and its words, and take no broker with them"},
	{"otlp", 1, "sends what it is given to a collector: it knows where a trace stands, and nothing of what was done there"},
	{"embedded", 1, "a server in the process is a matter of how Millrace is started, not of what is kept on it"},
	{"meter", 0, "counts, whoever counts and whoever reads: it needs nobody"},
	{".", 0, "the vocabulary: whoever speaks it must not have to take anything else with it"},
}

// technologies says which packages may import a module that is not ours.
var technologies = []struct {
	module string
	only   []string
	why    string
}{
	{"github.com/google/uuid", []string{"."}, "task ids are UUIDs of version 7, and the vocabulary makes them; it has no dependencies of its own"},
	{"github.com/go-json-experiment/json", []string{"streams", "gateway"}, "for JSON of our own types, which every task crosses some ten times; what users' handlers take and return is encoding/json's, as they know it"},
	{"github.com/gofiber/fiber/v2", []string{"gateway"}, "its strings change after the handler: they are copied at one border, the gateway's"},
	{"github.com/valyala/fasthttp", []string{"gateway"}, "what Fiber is made of"},
	{"github.com/danielgtaylor/huma/v2", []string{"gateway"}, "OpenAPI and validation are a matter of the HTTP API; commands and handlers have types of ours"},
	{"github.com/swaggest/swgui", []string{"gateway"}, "the documentation page, served by the gateway"},
	{"github.com/nats-io/jsm.go", []string{"admin"}, "snapshots of streams, and what is in them: for backups, and nothing that works has to take it with it"},
	{"github.com/nats-io/nats.go", []string{"streams", "admin", "test/broker", "examples/feed"}, "subjects, acks and sequences stay in one package; the others see tasks and deliveries. Whoever administers the broker sees streams. Tests look behind them, and the example follows the feed as a program does that knows nothing of Millrace"},
	{"github.com/nats-io/nuid", []string{"streams"}, "ids of atomic batches"},
	{"github.com/nats-io/nats-server/v2", []string{"embedded", "test/broker"}, "the same code runs against a server elsewhere, so only one package may know that there is one inside; tests stop its clock"},
	{"github.com/prometheus/client_golang", []string{"metrics"}, "the parts count, and one package says it in Prometheus's text"},
	{"github.com/alecthomas/kong", []string{"cmd/millrace"}, "flags belong to the command; the packages take a Config"},
	{"go.yaml.in/yaml/v3", []string{"cmd/millrace"}, "so does the configuration file"},
	{"golang.org/x/term", []string{"cmd/millrace"}, "only the command talks to a terminal"},
}

const module = "millrace"

func TestPackagesImportOnlyDownwards(t *testing.T) {
	found := 0
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipForeign(file, entry.Name())
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		found++
		for _, spec := range parsed.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if err := mayImport(path.Dir(filepath.ToSlash(file)), imported); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("read %d files: %v", found, err)
	}
}

// skipForeign skips the folders that go build would not look into either.
func skipForeign(folder, name string) error {
	if folder == "." {
		return nil
	}
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	if err == nil || name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	return nil
}

func TestImportRules(t *testing.T) {
	for _, c := range []struct {
		pkg, imported string
		allowed       bool
	}{
		{".", "errors", true},
		{".", "millrace/streams", false},
		{".", "github.com/google/uuid", true},
		{"streams", "millrace", true},
		{"streams", "millrace/embedded", false},
		{"streams", "github.com/nats-io/nats.go/jetstream", true},
		{"processor", "millrace/streams", true},
		{"processor", "millrace/gateway", false},
		{"processor", "millrace/admin", false},
		{"admin", "github.com/nats-io/jsm.go/backup", true},
		{"streams", "github.com/nats-io/jsm.go", false},
		{"processor", "github.com/nats-io/nats.go", false},
		{"embedded", "github.com/nats-io/nats-server/v2/server", true},
		{"gateway", "github.com/gofiber/fiber/v2/middleware/recover", true},
		{"gateway", "github.com/gofiber/fiber/v3", false},
		{"orders", "millrace/processor", true},
		{"client", "millrace", true},
		{"client", "millrace/streams", false},
		{"client", "github.com/nats-io/nats.go", false},
		{"cmd/millrace", "millrace/gateway", true},
		{"cmd/millrace", "millrace/examples/hello", false},
		{"examples/hello", "millrace/processor", true},
		{"examples/hello", "github.com/nats-io/nats.go", false},
		{"test/broker", "millrace/embedded", true},
		{"test/broker", "github.com/nats-io/nats-server/v2/server/ats", true},
		{"test/e2e", "millrace/test/broker", false},
		{"cmd/millrace", "millrace/test/broker", false},
		{"examples/hello", "millrace/test/broker", false},
		{"processor", "millrace/otlp", true},
		{"streams", "millrace/otlp", false},
		{"otlp", "go.opentelemetry.io/otel", false},
		{"utils", "errors", false},
	} {
		if err := mayImport(c.pkg, c.imported); (err == nil) != c.allowed {
			t.Errorf("%s imports %s: allowed should be %v, got %v", c.pkg, c.imported, c.allowed, err)
		}
	}
}

// mayImport explains why a package, named by its folder, may not import another.
func mayImport(pkg, imported string) error {
	floor, why, known := floorOf(pkg)
	if !known {
		return fmt.Errorf("package %s has no place in the house: give it a floor, with the reason, in imports_test.go", pkg)
	}
	if own, ok := ownPackage(imported); ok {
		if below, _, known := floorOf(own); known && below >= floor {
			return fmt.Errorf("%s (floor %d) may not import %s (floor %d): %s", pkg, floor, own, below, why)
		}
		return nil
	}
	first, _, _ := strings.Cut(imported, "/")
	if !strings.Contains(first, ".") {
		return nil // the standard library
	}
	for _, tech := range technologies {
		if !within(imported, tech.module) {
			continue
		}
		if slices.Contains(tech.only, pkg) {
			return nil
		}
		return fmt.Errorf("%s may not import %s, only %s may: %s", pkg, imported, strings.Join(tech.only, " and "), tech.why)
	}
	return fmt.Errorf("%s imports %s, which nobody may yet: if it pays, name it in imports_test.go with who may import it and why", pkg, imported)
}

func floorOf(pkg string) (floor int, why string, known bool) {
	for _, p := range house {
		folder, all := strings.CutSuffix(p.pkg, "/...")
		if pkg == p.pkg || all && within(pkg, folder) {
			return p.floor, p.why, true
		}
	}
	return 0, "", false
}

func ownPackage(imported string) (pkg string, own bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}
