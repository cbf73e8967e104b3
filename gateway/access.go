package gateway

import (
	"strings"

	"millrace"
)

// anyone is the scope of what takes no key.
const anyone millrace.Scope = ""

// access says which scope each route takes: of the API, whose description says so too,
// and of the pages. It is the only place that does. A route that is not here takes
// admin, and fails a test.
func access() map[string]millrace.Scope {
	all := map[string]millrace.Scope{}
	for scope, routes := range map[millrace.Scope][]string{
		// A webhook is signed, which is its key. The rest says nothing of tasks and orders.
		anyone: {
			"GET /healthz", "GET /readyz", "POST /v1/webhooks/payment",
			"GET /openapi.json", "GET /docs", "GET /docs/{file}", "GET /assets/{file}",
			"GET /login", "POST /login", "POST /logout", "POST /theme",
		},
		millrace.ScopeSubmit: {"POST /v1/tasks", "POST /v1/tasks/bulk", "POST /v1/orders"},
		millrace.ScopeRead: {
			"GET /v1/tasks", "GET /v1/tasks/{id}",
			"GET /v1/dead", "GET /v1/dead/{id}",
			"GET /v1/schedules", "GET /v1/schedules/{name}",
			"GET /v1/orders", "GET /v1/orders/{id}", "GET /v1/orders/events", "GET /v1/orders/{id}/events",
			"GET /v1/stock", "GET /v1/stock/{sku}",
			"GET /v1/queues", "GET /v1/queues/{queue}", "GET /v1/kinds", "GET /v1/routes", "GET /v1/limits",
			"GET /v1/workers", "GET /v1/workers/{id}/stacks", "GET /v1/stats", "GET /v1/alerts",
			"GET /", "GET /tasks", "GET /tasks/{id}", "GET /orders", "GET /orders/{id}", "GET /stock", "GET /queues",
			"GET /schedules", "GET /schedules/{name}", "GET /dead", "GET /workers", "GET /alerts", "GET /live",
		},
		millrace.ScopeOperate: {
			"DELETE /v1/tasks/{id}",
			"DELETE /v1/dead/{id}", "POST /v1/dead/{id}/redrive", "POST /v1/dead/redrive", "POST /v1/dead/discard",
			"POST /v1/schedules", "PUT /v1/schedules/{name}", "PATCH /v1/schedules/{name}", "DELETE /v1/schedules/{name}",
			"POST /v1/schedules/{name}/run", "POST /v1/schedules/{name}/pause", "POST /v1/schedules/{name}/resume",
			"POST /v1/orders/{id}/payment", "POST /v1/orders/{id}/cancel", "POST /v1/orders/{id}/fulfil",
			"PUT /v1/stock", "PUT /v1/stock/{sku}", "POST /v1/stock/{sku}/adjust",
			"POST /v1/queues", "DELETE /v1/queues/{queue}", "POST /v1/queues/{queue}/pause", "POST /v1/queues/{queue}/drain",
			"POST /v1/queues/{queue}/resume", "POST /v1/queues/{queue}/purge",
			"POST /v1/kinds/{kind}/pause", "POST /v1/kinds/{kind}/resume",
			"PUT /v1/routes", "DELETE /v1/routes", "PUT /v1/limits", "DELETE /v1/limits",
			"POST /v1/workers/{id}/quiet", "POST /v1/workers/{id}/resume", "POST /v1/workers/{id}/stop", "POST /v1/workers/{id}/concurrency",
		},
		millrace.ScopeAdmin: {"GET /keys", "GET /audit", "GET /v1/keys", "POST /v1/keys", "DELETE /v1/keys/{prefix}", "GET /v1/audit"},
	} {
		for _, route := range routes {
			all[route] = scope
		}
	}
	for path := range actions() { // the forms of the pages: what they ask the API for is checked again there
		all["POST "+namedPath(path)] = millrace.ScopeOperate
		if strings.HasPrefix(path, "/keys") {
			all["POST "+namedPath(path)] = millrace.ScopeAdmin
		}
	}
	return all
}

// scopeOf is the scope of a route, as "GET /v1/tasks/{id}" or with Fiber's ":id".
func scopeOf(table map[string]millrace.Scope, method, path string) millrace.Scope {
	if scope, ok := table[method+" "+namedPath(path)]; ok {
		return scope
	}
	return millrace.ScopeAdmin
}

// namedPath turns Fiber's :name into {name}. The files of the pages are one route each,
// which all are the same.
func namedPath(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if name, ok := strings.CutPrefix(part, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	if len(parts) == 3 && (parts[1] == "docs" || parts[1] == "assets") {
		parts[2] = "{file}"
	}
	return strings.Join(parts, "/")
}
