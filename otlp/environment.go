package otlp

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
)

// FromEnvironment is what OpenTelemetry's variables say, of those that environ has as
// "name=value": OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS, the same for
// traces alone with TRACES in their names, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
// OTEL_SDK_DISABLED and OTEL_TRACES_EXPORTER. The URL is empty if they name no endpoint, or
// that there is to be none.
func FromEnvironment(environ []string) (Config, error) {
	env := map[string]string{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, "OTEL_") {
			env[name] = strings.TrimSpace(value)
		}
	}
	cfg := Config{Headers: map[string]string{}, URL: env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"]}
	var err error
	if endpoint := env["OTEL_EXPORTER_OTLP_ENDPOINT"]; endpoint != "" && cfg.URL == "" {
		if cfg.URL, err = TracesURL(endpoint); err != nil {
			return Config{}, fmt.Errorf("OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
		}
	}
	if strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") || strings.EqualFold(env["OTEL_TRACES_EXPORTER"], "none") {
		cfg.URL = ""
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} { // the latter wins
		pairs, err := parsePairs(env[name])
		if err != nil {
			return Config{}, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range pairs {
			cfg.Headers[p.key] = p.text
		}
	}
	resource, err := parsePairs(env["OTEL_RESOURCE_ATTRIBUTES"])
	if err != nil {
		return Config{}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	for _, a := range resource {
		switch a.key {
		case "service.name":
			cfg.Service = a.text
		case "service.version":
			cfg.Version = a.text
		case "service.instance.id":
			cfg.Instance = a.text
		default:
			cfg.Resource = append(cfg.Resource, a)
		}
	}
	cfg.Service = cmp.Or(env["OTEL_SERVICE_NAME"], cfg.Service)
	return cfg, nil
}

// parsePairs reads "key=value,key=value", in which what is special is percent-encoded. No
// error has a value in it: it may be a key.
func parsePairs(list string) (pairs []Attr, err error) {
	for i, one := range strings.Split(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		key, value, ok := strings.Cut(one, "=")
		decoded, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			return nil, fmt.Errorf("no. %d of the list is not key=value, with %%2C for a comma", i+1)
		}
		pairs = append(pairs, Text(key, decoded))
	}
	return pairs, nil
}
