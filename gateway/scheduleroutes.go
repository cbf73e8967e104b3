package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// scheduleRoutes is the API of schedules.
func (g *Gateway) scheduleRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: "/v1/schedules", Tags: []string{"schedules"},
		Summary: "List schedules",
		Errors:  []int{503},
	}, g.listSchedules)
	register(a, huma.Operation{
		OperationID: "put-schedule", Method: http.MethodPut, Path: "/v1/schedules/{name}", DefaultStatus: http.StatusOK, Tags: []string{"schedules"},
		Summary:     "Write a schedule down",
		Description: "Replaces the schedule of that name, or makes one (201). What the old one submitted goes on.",
		Errors:      []int{400, 413, 415, 422, 503},
	}, g.putSchedule)
	register(a, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: "/v1/schedules/{name}", Tags: []string{"schedules"},
		Summary: "Look at a schedule",
		Errors:  []int{404, 422, 503},
	}, g.getSchedule)
	register(a, huma.Operation{
		OperationID: "cancel-schedule", Method: http.MethodDelete, Path: "/v1/schedules/{name}", DefaultStatus: http.StatusNoContent, Tags: []string{"schedules"},
		Summary:     "Cancel a schedule",
		Description: "What it has submitted goes on.",
		Errors:      []int{404, 422, 503},
	}, g.cancelSchedule)
	register(a, huma.Operation{
		OperationID: "run-schedule", Method: http.MethodPost, Path: "/v1/schedules/{name}/run", DefaultStatus: http.StatusAccepted, Tags: []string{"schedules"},
		Summary:     "Run a schedule now",
		Description: "Submits a task of the schedule besides those that are due.",
		Errors:      []int{404, 409, 422, 503},
	}, g.runSchedule)
}
