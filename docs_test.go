package millrace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The Go code in the documentation is from files that are compiled and tested.
func TestDocumentedCode(t *testing.T) {
	var compiled []string
	clients, err := filepath.Glob("client/example*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(clients, "millracetest/example_test.go", "examples/hello/main.go") {
		compiled = append(compiled, unindented(t, file))
	}
	blocks := strings.Split("\n"+unindented(t, "docs/go.md"), "\n```go\n")[1:]
	if len(blocks) < 5 {
		t.Fatalf("found %d blocks of code", len(blocks))
	}
next:
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "\n```")
		for _, text := range compiled {
			if strings.Contains(text, "\n"+code+"\n") {
				continue next
			}
		}
		t.Errorf("docs/go.md has code that is in no example:\n%s", code)
	}
}

func unindented(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, "\t")
	}
	return strings.Join(lines, "\n")
}
