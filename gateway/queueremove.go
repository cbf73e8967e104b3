package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"millrace"
)

func (g *Gateway) queueRemoveRoute(a *api) {
	register(a, huma.Operation{
		OperationID: "remove-queue", Method: http.MethodDelete, Path: "/v1/queues/{queue}", DefaultStatus: http.StatusNoContent, Tags: []string{"queues"},
		Summary:     "Remove a queue",
		Description: "Removes a queue that was added, for all processes, with what its log remembers of tasks that are done; records and dead tasks stay. 409 means that it is built in, or of the configuration, or in use, and says by what: tasks that are not finished, wherever they wait, a schedule, a route, or another consumer of its log. Then nothing has changed.",
		Errors:      []int{404, 409, 422, 503},
	}, g.removeQueue)
}

func (g *Gateway) removeQueue(ctx context.Context, in *queueInput) (*struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	err := g.store.RemoveQueue(ctx, in.Queue, func(ctx context.Context) error { return g.notScheduled(ctx, in.Queue) })
	if err != nil {
		return nil, err
	}
	return &struct{}{}, nil
}

// notScheduled returns [millrace.ErrConflict] if a schedule submits to that queue.
func (g *Gateway) notScheduled(ctx context.Context, queue string) error {
	all, err := g.book.List(ctx)
	if err != nil {
		return err
	}
	for _, e := range all {
		if cmp.Or(e.Queue, g.store.Route(e.Kind)) == queue {
			return fmt.Errorf("%w: the schedule %s submits to queue %s", millrace.ErrConflict, e.Name, queue)
		}
	}
	return nil
}
