package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"millrace/test/collector"
)

var metricName = regexp.MustCompile(`\bmillrace_[a-z_]+\b`)

// Every metric that a node has is documented, and every one that the documentation, the
// rules and the board speak of is there.
func TestMetricsAreDocumented(t *testing.T) {
	p := start(t, "millrace", "dev", "--listen", "127.0.0.1:0", "--nats-port", "off", "--metrics-listen", "127.0.0.1:0", "--otlp-endpoint", collector.New(t).URL)
	metrics, api := p.says(t, metricsAddress), newClient(t, p.says(t, apiAddress))
	id := api.submit(t, `{"kind":"demo.echo","args":1}`)
	if _, err := api.finished(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r := newClient(t, metrics).get(t, "/metrics")
	if r.status != http.StatusOK {
		t.Fatal(r)
	}
	text := string(r.body)
	for _, line := range []string{
		"\nmillrace_tasks_submitted_total ", "\nmillrace_tasks_finished_total{state=\"succeeded\"} ", "\nmillrace_queue_pending{queue=\"default\"} ",
		"\nmillrace_broker_up 1\n", "\nmillrace_workers 1\n", "\nmillrace_task_run_seconds_count ", "\nmillrace_commit_messages_count ",
		"\nmillrace_http_requests_total{method=\"POST\",route=\"/v1/tasks\",status=\"2xx\"} 1\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing", line)
		}
	}
	there := map[string]bool{"millrace_storage_limit_bytes": true} // where the broker says so
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (millrace_\S+)`).FindAllStringSubmatch(text, -1) {
		there[m[1]] = true
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range there {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
	for _, file := range []string{"../../docs/metrics.md", "../../deploy/prometheus/rules.yml", "../../deploy/grafana/millrace.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(data), -1) {
			base := name
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				if cut := strings.TrimSuffix(name, end); there[cut] {
					base = cut
				}
			}
			if !there[base] {
				t.Errorf("%s speaks of %s, which is not there", file, name)
			}
		}
	}
}
