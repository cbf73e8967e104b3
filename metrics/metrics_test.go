package metrics_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"millrace/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves metrics until the test ends, and returns where.
func serve(t *testing.T, cfg metrics.Config) (url string) {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	m, err := metrics.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + m.Addr().String()
}

func get(t *testing.T, url string) (status int, text string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// A process without parts that count tells of itself.
func TestOfTheProcess(t *testing.T) {
	url := serve(t, metrics.Config{})
	status, text := get(t, url+"/metrics")
	for _, name := range []string{"go_goroutines ", "go_memstats_", "process_start_time_seconds "} {
		if status != http.StatusOK || !strings.Contains(text, "\n"+name) {
			t.Errorf("%d, and %s is missing", status, name)
		}
	}
	if strings.Contains(text, "millrace_") {
		t.Errorf("it counts what it does not do:\n%s", text)
	}
	if status, _ := get(t, url+"/"); status != http.StatusNotFound {
		t.Errorf("elsewhere: %d", status)
	}
	taken := strings.TrimPrefix(url, "http://")
	if _, err := metrics.New(metrics.Config{Listen: taken}); err == nil || !strings.Contains(err.Error(), "choose another --metrics-listen") {
		t.Errorf("where one listens already: %v", err)
	}
}
