// Package openapi tests that what the gateway says of itself is true, with tools that
// others made: a validator, and a generator of clients. It has a module of its own,
// so that nothing else takes their dependencies.
//
// The client is generated from openapi.json, which is what a gateway answers with:
//
//	go test -run TestDescription -update && go generate
package openapi

//go:generate go tool oapi-codegen -config client.yaml openapi.json
