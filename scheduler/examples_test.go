package scheduler_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// exampleRow is a row of the table of examples: cron, zone, after, is due.
var exampleRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([A-Z][^ ]+) \\| ([-0-9]{10} [^|]+) \\| ([^|]+) \\|$")

// The examples in docs/schedules.md are what the code computes.
func TestExamplesTellTheTruth(t *testing.T) {
	text, err := os.ReadFile("../docs/schedules.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := exampleRow.FindAllStringSubmatch(string(text), -1)
	if len(rows) < 15 {
		t.Fatalf("found only %d examples: has the table another form?", len(rows))
	}
	for _, row := range rows {
		cron, zone, after, want := row[1], row[2], row[3], row[4]
		start, err := time.Parse("2006-01-02 15:04 -07:00", after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, due := range list(parse(t, byCron(cron, zone)), start, 1+strings.Count(want, ",")) {
			got = append(got, due.In(location(t, zone)).Format("01-02 15:04 -07:00"))
		}
		if got := strings.Join(got, ", "); got != want && (got != "" || want != "never") {
			t.Errorf("%s in %s after %s: got %s, and docs/schedules.md says %s", cron, zone, after, got, want)
		}
	}
}
