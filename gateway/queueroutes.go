package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// queueRoutes is the API of queues, of what is paused, and of which kind goes where.
func (g *Gateway) queueRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-queues", Method: http.MethodGet, Path: "/v1/queues", Tags: []string{"queues"},
		Summary: "List queues",
		Errors:  []int{503},
	}, g.listQueues)
	register(a, huma.Operation{
		OperationID: "add-queue", Method: http.MethodPost, Path: "/v1/queues", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Add a queue",
		Description: "It is there for all processes, without a restart: they take tasks for it (201), and workers that do not serve certain queues serve it. To add one that is there changes its share of the handlers at once, for all workers whose own configuration does not name it.",
		Errors:      []int{400, 413, 415, 422, 503, 507}, Metadata: map[string]any{creates: true},
	}, g.addQueue)
	g.queueRemoveRoute(a)
	register(a, huma.Operation{
		OperationID: "get-queue", Method: http.MethodGet, Path: "/v1/queues/{queue}", Tags: []string{"queues"},
		Summary: "Look at a queue",
		Errors:  []int{404, 422, 503},
	}, g.getQueue)
	register(a, huma.Operation{
		OperationID: "pause-queue", Method: http.MethodPost, Path: "/v1/queues/{queue}/pause", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Pause a queue",
		Description: "No worker takes tasks from it any more until it is resumed, whatever is started anew. What runs goes on; what is submitted waits. To pause it again changes nothing.",
		Errors:      []int{404, 422, 503},
	}, g.pauseQueue)
	register(a, huma.Operation{
		OperationID: "drain-queue", Method: http.MethodPost, Path: "/v1/queues/{queue}/drain", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Drain a queue",
		Description: "Tasks, orders and runs of schedules that would go there are refused with 503 until it is resumed, and the workers empty it. pending and in_flight tell how many are left. What was taken in before still comes: what waits for its time, and what schedules and tasks submit.",
		Errors:      []int{404, 422, 503},
	}, g.drainQueue)
	register(a, huma.Operation{
		OperationID: "resume-queue", Method: http.MethodPost, Path: "/v1/queues/{queue}/resume", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Resume a queue",
		Description: "Ends what pause and drain began.",
		Errors:      []int{404, 422, 503},
	}, g.resumeQueue)
	register(a, huma.Operation{
		OperationID: "purge-queue", Method: http.MethodPost, Path: "/v1/queues/{queue}/purge", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Purge a queue",
		Description: "Cancels the tasks that are pending: each has a record then that says so, with the error \"purged\". What runs goes on; what waits for its time or for another attempt still comes. left says how many are to be purged yet, if there are more than one request does: purge again with that. Pause the queue first, so that the count stays as it is.",
		Errors:      []int{404, 409, 422, 503},
	}, g.purgeQueue)
	register(a, huma.Operation{
		OperationID: "list-kinds", Method: http.MethodGet, Path: "/v1/kinds", Tags: []string{"queues"},
		Summary: "List the kinds that are paused",
	}, g.listKinds)
	register(a, huma.Operation{
		OperationID: "pause-kind", Method: http.MethodPost, Path: "/v1/kinds/{kind}/pause", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Pause a kind",
		Description: "No worker runs tasks of the kind any more until it is resumed. What runs goes on. Those that come to a worker are put off, which costs them no attempt and holds up no other task.",
		Errors:      []int{422, 503},
	}, g.pauseKind)
	register(a, huma.Operation{
		OperationID: "resume-kind", Method: http.MethodPost, Path: "/v1/kinds/{kind}/resume", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Resume a kind",
		Description: "What was put off comes at once, as soon as a scheduler can move it to its queue.",
		Errors:      []int{422, 503},
	}, g.resumeKind)
	register(a, huma.Operation{
		OperationID: "get-routes", Method: http.MethodGet, Path: "/v1/routes", Tags: []string{"queues"},
		Summary: "Look at the routes",
	}, g.getRoutes)
	register(a, huma.Operation{
		OperationID: "put-routes", Method: http.MethodPut, Path: "/v1/routes", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Replace the routes",
		Description: "For all processes, whatever their configurations say, until the routes are deleted here. No routes mean that everything goes to the queue default.",
		Errors:      []int{400, 413, 415, 422, 503},
	}, g.putRoutes)
	register(a, huma.Operation{
		OperationID: "delete-routes", Method: http.MethodDelete, Path: "/v1/routes", DefaultStatus: http.StatusOK, Tags: []string{"queues"},
		Summary:     "Go by the configuration's routes again",
		Description: "Answers with the routes that hold then.",
		Errors:      []int{503},
	}, g.deleteRoutes)
}
