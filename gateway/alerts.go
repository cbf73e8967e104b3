package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace/alerts"
	"millrace/gateway/dashboard"
)

type alertView struct {
	ID         string     `json:"id"`
	Rule       string     `json:"rule" doc:"failure-ratio, oldest-waiting, backlog-growth, no-worker, dead-growth, schedule-late, disk-full, consumer-ahead or lost-leases."`
	Subject    string     `json:"subject,omitempty" doc:"The queue that it is about; missing if it is about everything."`
	Text       string     `json:"text" doc:"What is wrong, as it was when the alert began."`
	Value      float64    `json:"value" doc:"What was measured then, in seconds if it is a time."`
	Limit      float64    `json:"limit" doc:"From when on it is an alert."`
	Since      time.Time  `json:"since"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty" doc:"When it was over; missing while it lasts."`
}

type listAlertsOutput struct {
	Body struct {
		Active   []alertView `json:"active"`
		Resolved []alertView `json:"resolved" doc:"Those that were over in the last day, the newest first, 100 at most."`
	}
}

func (g *Gateway) alertRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "list-alerts", Method: http.MethodGet, Path: "/v1/alerts", Tags: []string{"operation"},
		Summary:     "List what is wrong",
		Description: "What the schedulers have noticed. They look every 15 s; while none runs, nothing changes here.",
		Errors:      []int{503},
	}, g.listAlerts)
}

func (g *Gateway) listAlerts(ctx context.Context, _ *struct{}) (*listAlertsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	active, resolved, err := alerts.List(ctx, g.store)
	if err != nil {
		return nil, err
	}
	out := &listAlertsOutput{}
	out.Body.Active, out.Body.Resolved = viewAlerts(active), viewAlerts(resolved)
	return out, nil
}

func viewAlerts(all []alerts.Alert) []alertView {
	views := make([]alertView, len(all))
	for i, a := range all {
		views[i] = alertView{a.ID, a.Rule, a.Subject, a.Text, a.Value, a.Limit, a.Since, present(a.ResolvedAt)}
	}
	return views
}

func alertsPage(v *visit) (dashboard.Page, error) {
	var found listAlertsOutput
	if err := v.get("/v1/alerts", &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	return dashboard.Page{Template: "alerts", Title: "Alerts", Nav: "Alerts", Live: true, Data: found.Body}, nil
}
