package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// taskRoutes is the API of tasks.
func (g *Gateway) taskRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "submit-task", Method: http.MethodPost, Path: "/v1/tasks", DefaultStatus: http.StatusAccepted, Tags: []string{"tasks"},
		Summary:     "Submit a task",
		Description: "When this answers 202 the task is on disk, and it will be carried out: at once, or after delay, or at run_at. A kind that no worker knows yet waits for one.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.submitTask)
	register(a, huma.Operation{
		OperationID: "get-task", Method: http.MethodGet, Path: "/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary:     "Look at a task",
		Description: "With wait, the answer comes when the task is finished, or when the time is up. 404 means that the id was never accepted, 410 that its record has expired.",
		Errors:      []int{404, 410, 422, 503},
	}, g.getTask)
	register(a, huma.Operation{
		OperationID: "list-tasks", Method: http.MethodGet, Path: "/v1/tasks", Tags: []string{"tasks"},
		Summary:     "List tasks",
		Description: "Finds tasks by what they are and say, whatever their state, the one first that changed last. A finished one is found for as long as its record is kept. Of a long list only so much is looked at for one page: searched_until says how far.",
		Errors:      []int{422, 503},
	}, g.listTasks)
	register(a, huma.Operation{
		OperationID: "cancel-task", Method: http.MethodDelete, Path: "/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary:     "Cancel a task",
		Description: "Whatever it does: it will not run, or its handler is told to stop, and what that still returns is dropped. To cancel it again changes nothing. 409 means that it has succeeded or failed; state says which.",
		Errors:      []int{404, 409, 410, 422, 503},
	}, g.cancelTask)
}
