package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// routes is the whole API.
func (g *Gateway) routes(a *api) {
	register(a, huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: "/v1/tasks", DefaultStatus: http.StatusAccepted, Tags: []string{"tasks"},
		Summary:     "Submit a task",
		Description: "When this answers 202 the task is on disk, and it will be carried out. A kind that no worker knows yet waits for one.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.submitTask)
	register(a, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary:     "Look at a task",
		Description: "With wait, the answer comes when the task is finished, or when the time is up. 404 means that the id was never accepted, 410 that its record has expired.",
		Errors:      []int{404, 410, 422, 503},
	}, g.getTask)
	register(a, huma.Operation{
		OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", DefaultStatus: http.StatusAccepted, Tags: []string{"orders"},
		Summary:     "Place an order",
		Description: "When this answers 202 the order is on disk. With an order_id of your own, to place the same order again is to place it once.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.placeOrder)
	register(a, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{id}", Tags: []string{"orders"},
		Summary: "Look at an order",
		Errors:  []int{404, 410, 422, 503},
	}, g.getOrder)
	register(a, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz", Tags: []string{"operation"},
		Summary: "Is the process alive?",
	}, g.health)
	register(a, huma.Operation{
		OperationID: "ready", Method: http.MethodGet, Path: "/readyz", Tags: []string{"operation"},
		Summary: "Can it take work?",
		Errors:  []int{503},
	}, g.ready)
}
