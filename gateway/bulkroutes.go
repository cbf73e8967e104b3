package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// bulkRoutes is the API of bulk submissions.
func (g *Gateway) bulkRoutes(a *api) {
	lines := &huma.Schema{Type: huma.TypeString}
	register(a, huma.Operation{
		OperationID: "submit-tasks", Method: http.MethodPost, Path: bulkPath, DefaultStatus: http.StatusOK, Tags: []string{"tasks"},
		Summary: "Submit many tasks",
		Description: "A JSON object a line, each as for submitting one task, and with an id if you like. The lines are read as they come and answered as they are done, a line each, in their order: read the answer while you send. " +
			"Each line is on its own: one that is wrong keeps no other from being done. What is answered with 202 is on disk. If the connection breaks, send all of it again with the same ids, or the same Idempotency-Key: what is there already is not done twice. " +
			"With atomic=true up to 1,000 tasks of one queue are submitted as one, all of them or none.",
		RequestBody: &huma.RequestBody{Required: true, Description: `A JSON object a line: {"id": "a-1", "kind": "mail.send", "args": {"to": "ada@example.com"}}`, Content: map[string]*huma.MediaType{mediaLines: {Schema: lines}}},
		Responses: map[string]*huma.Response{"200": {
			Description: "A JSON object for each line that is not blank: its number, from 1, the status that it would have had on its own, and the task's id and state, or the error. replayed means that the task was there already.",
			Content: map[string]*huma.MediaType{mediaLines: {
				Schema: lines,
			}},
		}},
		Errors: []int{400, 409, 413, 415, 422, 503},
	}, g.submitTasks)
}
