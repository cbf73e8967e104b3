package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// deadRoutes is the API of the tasks that failed for good.
func (g *Gateway) deadRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-dead", Method: http.MethodGet, Path: "/v1/dead", Tags: []string{"dead"},
		Summary:     "Search the dead tasks",
		Description: "Lists the tasks that used up their attempts, or failed for good, the one first that died last. Of a long list only so much is looked at for one page: searched_until says how far.",
		Errors:      []int{422, 503},
	}, g.listDead)
	register(a, huma.Operation{
		OperationID: "get-dead", Method: http.MethodGet, Path: "/v1/dead/{id}", Tags: []string{"dead"},
		Summary: "Look at a dead task, with its args, its attempts and their stacks",
		Errors:  []int{404, 422, 503},
	}, g.getDead)
	register(a, huma.Operation{
		OperationID: "redrive-dead", Method: http.MethodPost, Path: "/v1/dead/{id}/redrive", DefaultStatus: http.StatusAccepted, Tags: []string{"dead"},
		Summary:     "Bring a dead task back",
		Description: "It goes into its queue again, under its id and with its history, and its attempts are counted anew. With args it gets those instead of its own. 409 means that it is not dead: state says what it is.",
		Errors:      []int{400, 404, 409, 410, 413, 415, 422, 503},
	}, g.redriveDead)
	register(a, huma.Operation{
		OperationID: "redrive-all-dead", Method: http.MethodPost, Path: "/v1/dead/redrive", Tags: []string{"dead"},
		Summary:     "Bring many dead tasks back",
		Description: "Redrives up to limit of those that match, the one first that died first, at most so many a second, and answers when that is done, or after 20 seconds. For the rest call again with next_cursor, until there is none. Those that die again meanwhile are not redriven twice.",
		Errors:      []int{400, 413, 415, 422, 503},
	}, g.redriveAllDead)
	register(a, huma.Operation{
		OperationID: "discard-dead", Method: http.MethodDelete, Path: "/v1/dead/{id}", DefaultStatus: http.StatusNoContent, Tags: []string{"dead"},
		Summary:     "Remove a dead task for good",
		Description: "It cannot be redriven any more. Its record stays until that expires. 409 means that it is not dead: state says what it is.",
		Errors:      []int{404, 409, 422, 503},
	}, g.discardDead)
	register(a, huma.Operation{
		OperationID: "discard-all-dead", Method: http.MethodPost, Path: "/v1/dead/discard", Tags: []string{"dead"},
		Summary:     "Remove many dead tasks for good",
		Description: "Only if exactly as many match as confirm says: else 409, nothing is removed, and count says how many there are.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.discardAllDead)
}
