package otlp_test

import (
	"maps"
	"strings"
	"testing"

	"millrace/otlp"
)

func TestTracesURL(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:4318":            "http://127.0.0.1:4318/v1/traces",
		"https://otel.example/":            "https://otel.example/v1/traces",
		"https://otel.example/mine?key=1":  "https://otel.example/mine/v1/traces?key=1",
		"https://otel.example/mine/deep//": "https://otel.example/mine/deep/v1/traces",
		"127.0.0.1:4318":                   "",
		"grpc://127.0.0.1:4317":            "",
		"http://":                          "",
		"":                                 "",
	} {
		if got, err := otlp.TracesURL(endpoint); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %q, %v", endpoint, got, err)
		}
	}
}

func TestWrongConfig(t *testing.T) {
	for _, cfg := range []otlp.Config{
		{},
		{URL: "collector:4318"},
		{URL: "http://a", Queue: -1},
		{URL: "http://a", Batch: -1},
		{URL: "http://a", Grace: -1},
	} {
		if _, err := otlp.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	cfg, err := otlp.FromEnvironment([]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318", "OTEL_EXPORTER_OTLP_HEADERS=key=a%2Cb+c, other = 1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=other=2",
		"OTEL_SERVICE_NAME=shop", "OTEL_RESOURCE_ATTRIBUTES=service.name=other,service.version=7,service.instance.id=i,team=x", "HOME=/",
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.URL != "http://a:4318/v1/traces" || cfg.Service != "shop" || cfg.Version != "7" || cfg.Instance != "i" || len(cfg.Resource) != 1 || cfg.Resource[0] != otlp.Text("team", "x") {
		t.Errorf("%+v", cfg)
	}
	if want := map[string]string{"key": "a,b+c", "other": "2"}; !maps.Equal(cfg.Headers, want) {
		t.Errorf("%v, want %v", cfg.Headers, want)
	}
	for want, env := range map[string][]string{
		"http://b/x": {"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://b/x"},
		"":           {"OTEL_EXPORTER_OTLP_ENDPOINT=http://a:4318", "OTEL_SDK_DISABLED=True"},
	} {
		if cfg, err := otlp.FromEnvironment(env); err != nil || cfg.URL != want {
			t.Errorf("%v: %q, %v", env, cfg.URL, err)
		}
	}
	for _, wrong := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT=a:4318", "OTEL_EXPORTER_OTLP_HEADERS=secret", "OTEL_EXPORTER_OTLP_HEADERS==secret", "OTEL_RESOURCE_ATTRIBUTES=a=%secret"} {
		name, _, _ := strings.Cut(wrong, "=")
		if _, err := otlp.FromEnvironment([]string{wrong}); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
