// Package otlp tests that what millrace/otlp sends is the OpenTelemetry protocol: it is read
// with the protocol's own types, and by the rules of protobuf's JSON. It has a module of its
// own, so that nothing else takes those as dependencies.
package otlp
