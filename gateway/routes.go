package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// routes is the whole API.
func (g *Gateway) routes(a *api) {
	g.taskRoutes(a)
	g.bulkRoutes(a)
	g.deadRoutes(a)
	g.scheduleRoutes(a)
	g.orderRoutes(a)
	g.limitRoutes(a)
	g.stockRoutes(a)
	g.queueRoutes(a)
	g.workerRoutes(a)
	g.statsRoutes(a)
	g.alertRoutes(a)
	g.keyRoutes(a)
	g.healthRoutes(a)
}

// healthRoutes is what every process can be asked.
func (s *server) healthRoutes(a *api) {
	register(a, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz", Tags: []string{"operation"},
		Summary: "Is the process alive?",
	}, s.health)
	register(a, huma.Operation{
		OperationID: "ready", Method: http.MethodGet, Path: "/readyz", Tags: []string{"operation"},
		Summary: "Can it take work?",
		Errors:  []int{503},
	}, s.ready)
}
