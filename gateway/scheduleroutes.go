package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// scheduleRoutes is the API of schedules.
func (g *Gateway) scheduleRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: "/v1/schedules", Tags: []string{"schedules"},
		Summary:     "List schedules",
		Description: "By name, without their history. What is made or removed meanwhile moves no other to another page.",
		Errors:      []int{422, 503},
	}, g.listSchedules)
	register(a, huma.Operation{
		OperationID: "create-schedule", Method: http.MethodPost, Path: "/v1/schedules", DefaultStatus: http.StatusCreated, Tags: []string{"schedules"},
		Summary:     "Make a schedule",
		Description: "409 means that there is one of that name already, or that a request with the same Idempotency-Key is being worked on.",
		Errors:      []int{400, 409, 413, 415, 422, 503},
	}, g.createSchedule)
	register(a, huma.Operation{
		OperationID: "put-schedule", Method: http.MethodPut, Path: "/v1/schedules/{name}", DefaultStatus: http.StatusOK, Tags: []string{"schedules"},
		Summary:     "Write a schedule down",
		Description: "Replaces the schedule of that name, or makes one (201). What the old one submitted goes on, and one that was paused stays so. 409 means that it is declared in the configuration file, 412 that it is not as If-Match says.",
		Errors:      []int{400, 409, 412, 413, 415, 422, 503}, Metadata: map[string]any{creates: true},
	}, g.putSchedule)
	register(a, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: "/v1/schedules/{name}", Tags: []string{"schedules"},
		Summary: "Look at a schedule",
		Errors:  []int{404, 422, 503},
	}, g.getSchedule)
	patch := newSchedulePatch()
	register(a, huma.Operation{
		OperationID: "change-schedule", Method: http.MethodPatch, Path: "/v1/schedules/{name}", DefaultStatus: http.StatusOK, Tags: []string{"schedules"},
		Summary:     "Change some of a schedule",
		Description: "A schedule that is still due at the same times, for the same kind and queue, keeps the due time that comes next, also if that has come already. 409 means that it is declared in the configuration file, 412 that it is not as If-Match says.",
		RequestBody: patch.body(), SkipValidateBody: true,
		Errors: []int{400, 404, 409, 412, 413, 415, 422, 503},
	}, patch.change(g))
	register(a, huma.Operation{
		OperationID: "cancel-schedule", Method: http.MethodDelete, Path: "/v1/schedules/{name}", DefaultStatus: http.StatusNoContent, Tags: []string{"schedules"},
		Summary:     "Cancel a schedule",
		Description: "What it has submitted goes on. 409 means that it is declared in the configuration file.",
		Errors:      []int{404, 409, 422, 503},
	}, g.cancelSchedule)
	register(a, huma.Operation{
		OperationID: "run-schedule", Method: http.MethodPost, Path: "/v1/schedules/{name}/run", DefaultStatus: http.StatusAccepted, Tags: []string{"schedules"},
		Summary:     "Run a schedule now",
		Description: "Submits a task of the schedule besides those that are due, also if the schedule is paused.",
		Errors:      []int{404, 409, 422, 503},
	}, g.runSchedule)
	register(a, huma.Operation{
		OperationID: "pause-schedule", Method: http.MethodPost, Path: "/v1/schedules/{name}/pause", DefaultStatus: http.StatusOK, Tags: []string{"schedules"},
		Summary:     "Pause a schedule",
		Description: "Nothing is submitted for its due times until it is resumed. To pause it again changes nothing.",
		Errors:      []int{404, 422, 503},
	}, g.pauseSchedule)
	register(a, huma.Operation{
		OperationID: "resume-schedule", Method: http.MethodPost, Path: "/v1/schedules/{name}/resume", DefaultStatus: http.StatusOK, Tags: []string{"schedules"},
		Summary:     "Resume a schedule",
		Description: "What it has missed while it was paused is dealt with as catch_up says: one task for all of that, or none. To resume it again changes nothing.",
		Errors:      []int{404, 422, 503},
	}, g.resumeSchedule)
}
