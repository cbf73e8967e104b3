package gateway

import (
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// securitySchemes describes how a key is sent.
func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "A key, as in `Authorization: Bearer mr_…`."},
		"header": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The same key, for what cannot send the other."},
	}
}

// secure describes which scope an operation takes, and what it is refused with.
func (a *api) secure(op *huma.Operation) {
	if a.adapter.door == nil {
		return
	}
	scope := scopeOf(a.adapter.door.table, op.Method, op.Path)
	if scope == anyone {
		op.Security = []map[string][]string{}
		return
	}
	op.Security = []map[string][]string{{"bearer": {string(scope)}}, {"header": {string(scope)}}}
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
		if !slices.Contains(op.Errors, status) {
			op.Errors = append(slices.Clone(op.Errors), status)
		}
	}
	slices.Sort(op.Errors)
}
