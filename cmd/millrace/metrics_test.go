package main

import (
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

var metricsAddress = regexp.MustCompile(`"?metrics"?[=:]"?([0-9.]+:\d+)`)

// TestMetricsOfRoles asks each role what it counts, and stops it.
func TestMetricsOfRoles(t *testing.T) {
	b := startBroker(t)
	for _, args := range [][]string{
		{"dev", "--listen", "127.0.0.1:0", "--nats-port", "off"},
		{"gateway", "--listen", "127.0.0.1:0", "--nats", b.url},
		{"processor", "--nats", b.url},
		{"scheduler", "--nats", b.url},
	} {
		p := start(t, "millrace", append(args, "--metrics-listen", "127.0.0.1:0")...)
		r := newClient(t, p.says(t, metricsAddress)).get(t, "/metrics")
		counts := strings.Contains(string(r.body), "\nmillrace_orders_repaired_total 0\n")
		if works := args[0] == "dev" || args[0] == "processor"; r.status != http.StatusOK || counts != works {
			t.Errorf("%s: %s", args[0], r)
		}
		p.signal(t, os.Interrupt)
		wantExit(t, p, 0, patience)
	}
}

// Unless it is said where, metrics are told where they are looked for; a second process on
// the machine does without, and says what to do.
func TestMetricsByDefault(t *testing.T) {
	if l, err := net.Listen("tcp", defaultMetricsAddress); err == nil { // else somebody has it
		defer l.Close()
	}
	p := start(t, "millrace", "dev", "--listen", "127.0.0.1:0", "--nats-port", "off")
	p.says(t, regexp.MustCompile(`(metrics are not served: give this process a --metrics-listen of its own)`))
	p.says(t, apiAddress)
	p.signal(t, os.Interrupt)
	wantExit(t, p, 0, patience)
}
