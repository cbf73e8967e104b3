package gateway

import (
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"millrace/orders"
)

// refusedOrder tells what is wrong with what was sent of an order, its payment or its
// stock as huma tells what does not fit the schema, with a location for each violation.
func refusedOrder(violations orders.Violations) *problem {
	p := newProblem(http.StatusUnprocessableEntity, fmt.Sprintf("This cannot be taken, for %d reasons. See errors.", len(violations)))
	if len(violations) == 1 {
		p.Detail = "This cannot be taken: " + violations[0].Message
	}
	p.Type, p.Title = problemType("invalid"), "Not valid"
	for _, v := range violations {
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: v.Location, Message: v.Message})
	}
	return p
}

// wrongState is for what cannot happen to an order as it stands.
func wrongState(err error, state orders.State) *problem {
	p := newProblem(http.StatusConflict, clip(err.Error(), maxMessage))
	p.Type, p.Title, p.State = problemType("order-state"), "Not possible in the order's state", string(state)
	if state == orders.Placed {
		p.retryAfter = time.Second // a worker is about to come to it
	}
	return p
}
