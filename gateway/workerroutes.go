package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// workerRoutes is the API of the workers that run.
func (g *Gateway) workerRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-workers", Method: http.MethodGet, Path: "/v1/workers", Tags: []string{"workers"},
		Summary:     "List workers",
		Description: "What each says of itself every 5 s. One that died is listed for 15 s more.",
		Errors:      []int{503},
	}, g.listWorkers)
	register(a, huma.Operation{
		OperationID: "quiet-worker", Method: http.MethodPost, Path: "/v1/workers/{id}/quiet", DefaultStatus: http.StatusOK, Tags: []string{"workers"},
		Summary:     "Let a worker take no new tasks",
		Description: "It finishes what runs, and hands back what it has not started. Resume it, or set its concurrency, to let it take tasks again.",
		Errors:      []int{404, 422, 503},
	}, g.quietWorker)
	register(a, huma.Operation{
		OperationID: "resume-worker", Method: http.MethodPost, Path: "/v1/workers/{id}/resume", DefaultStatus: http.StatusOK, Tags: []string{"workers"},
		Summary: "Let a worker take tasks again",
		Errors:  []int{404, 422, 503},
	}, g.resumeWorker)
	register(a, huma.Operation{
		OperationID: "stop-worker", Method: http.MethodPost, Path: "/v1/workers/{id}/stop", DefaultStatus: http.StatusOK, Tags: []string{"workers"},
		Summary:     "Stop a worker",
		Description: "As at its first Ctrl-C: it takes no more tasks, and what runs has its grace. A process with other roles goes on with those, and its worker does not come back until it is started anew.",
		Errors:      []int{404, 422, 503},
	}, g.stopWorker)
	register(a, huma.Operation{
		OperationID: "set-worker-concurrency", Method: http.MethodPost, Path: "/v1/workers/{id}/concurrency", DefaultStatus: http.StatusOK, Tags: []string{"workers"},
		Summary:     "Change how many handlers a worker runs at once",
		Description: "Until it is started anew. What runs goes on, also if that is more.",
		Errors:      []int{400, 404, 413, 415, 422, 503},
	}, g.setConcurrency)
	register(a, huma.Operation{
		OperationID: "get-worker-stacks", Method: http.MethodGet, Path: "/v1/workers/{id}/stacks", Tags: []string{"workers"},
		Summary: "See what a worker is at",
		Errors:  []int{404, 422, 503},
	}, g.getStacks)
}
