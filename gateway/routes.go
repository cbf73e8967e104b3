package gateway

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// routes is the whole API.
func (g *Gateway) routes(a *api) {
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
		Description: "Lists the tasks that have a record or wait for their time, the one that changed last first: all that are scheduled, retrying, or recently finished, and those that run again or for long. A task in its first run, or waiting for a worker, has no record yet and is not listed.",
		Errors:      []int{422, 503},
	}, g.listTasks)
	register(a, huma.Operation{
		OperationID: "cancel-task", Method: http.MethodDelete, Path: "/v1/tasks/{id}", Tags: []string{"tasks"},
		Summary:     "Cancel a task",
		Description: "Whatever it does: it will not run, or its handler is told to stop, and what that still returns is dropped. To cancel it again changes nothing. 409 means that it has succeeded or failed; state says which.",
		Errors:      []int{404, 409, 410, 422, 503},
	}, g.cancelTask)
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
	register(a, huma.Operation{
		OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", DefaultStatus: http.StatusAccepted, Tags: []string{"orders"},
		Summary:     "Place an order",
		Description: "When this answers 202 the order is on disk. With an order_id of your own, to place the same order again is to place it once. 410 means that it was placed and is not kept any more.",
		Errors:      []int{400, 409, 410, 413, 415, 422, 503},
	}, g.placeOrder)
	register(a, huma.Operation{ // before what takes any id
		OperationID: "follow-orders", Method: http.MethodGet, Path: "/v1/orders/events", Tags: []string{"orders"},
		Summary:     "Watch all orders",
		Description: "Server-Sent Events: what happens to any order, from now on, or behind the event that Last-Event-ID names, each once and in order. A client that reconnects with the last id it saw, as browsers do, misses nothing.",
		Responses:   feedResponse(),
		Errors:      []int{422, 503},
	}, g.followOrders)
	register(a, huma.Operation{
		OperationID: "follow-order", Method: http.MethodGet, Path: "/v1/orders/{id}/events", Tags: []string{"orders"},
		Summary:     "Watch an order",
		Description: "Server-Sent Events: all that happened to the order, or what lies behind the event that Last-Event-ID names, and then what happens, as it happens.",
		Responses:   feedResponse(),
		Errors:      []int{404, 410, 422, 503},
	}, g.followOrder)
	register(a, huma.Operation{
		OperationID: "list-orders", Method: http.MethodGet, Path: "/v1/orders", Tags: []string{"orders"},
		Summary:     "List orders",
		Description: "Lists orders without their lines, the one first that was placed last: by when a worker came to them. Where an order is in the list never changes, so page by page each is seen once, as it stands then, whatever comes or happens meanwhile. One that no worker has come to yet is not in it.",
		Errors:      []int{422, 503},
	}, g.listOrders)
	register(a, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{id}", Tags: []string{"orders"},
		Summary:     "Look at an order",
		Description: "410 means that it is not kept any more.",
		Errors:      []int{404, 410, 422, 503},
	}, g.getOrder)
	register(a, huma.Operation{
		OperationID: "pay-order", Method: http.MethodPost, Path: "/v1/orders/{id}/payment", Tags: []string{"orders"},
		Summary:     "Record a payment",
		Description: "The payment must be what the order costs (422). The same reference again is the same payment, and changes nothing. One that comes when the order is closed or paid already is recorded too, and has to be paid back: refund_due; the order stays as it is. 409 means that the reference is of another order or another amount, or that no worker has come to the order yet; then state says so.",
		Errors:      []int{400, 404, 409, 410, 413, 415, 422, 503},
	}, g.payOrder)
	register(a, huma.Operation{
		OperationID: "cancel-order", Method: http.MethodPost, Path: "/v1/orders/{id}/cancel", Tags: []string{"orders"},
		Summary:     "Cancel an order",
		Description: "An order that is not paid is called off, and its stock can be had again. To cancel it again changes nothing. 409 means that it is too late; state says where the order stands.",
		Errors:      []int{400, 404, 409, 410, 413, 415, 422, 503},
	}, g.cancelOrder)
	register(a, huma.Operation{
		OperationID: "fulfil-order", Method: http.MethodPost, Path: "/v1/orders/{id}/fulfil", Tags: []string{"orders"},
		Summary:     "Fulfil an order",
		Description: "Says that the goods of an order that is paid have left. To say it again changes nothing. 409 means that it is not paid; state says where it stands.",
		Errors:      []int{404, 409, 410, 422, 503},
	}, g.fulfilOrder)
	register(a, huma.Operation{
		OperationID: "list-stock", Method: http.MethodGet, Path: "/v1/stock", Tags: []string{"stock"},
		Summary:     "List stock",
		Description: "In the order of the SKUs, byte by byte.",
		Errors:      []int{422, 503},
	}, g.listStock)
	register(a, huma.Operation{
		OperationID: "set-stocks", Method: http.MethodPut, Path: "/v1/stock", DefaultStatus: http.StatusOK, Tags: []string{"stock"},
		Summary:     "Set the stock of many SKUs",
		Description: "Each line is on its own: one that is wrong keeps no other from being done. 200 means that all were done, 207 that some were not; errors says which and why. To send it again is safe.",
		RequestBody: &huma.RequestBody{Description: `A JSON object a line: {"sku": "85123A", "on_hand": 40}`},
		Responses:   map[string]*huma.Response{"207": {Description: "Some lines were not taken.", Content: map[string]*huma.MediaType{mediaJSON: {Schema: &huma.Schema{Ref: schemaPrefix + "SetStocksOutputBody"}}}}},
		Errors:      []int{400, 413, 415, 422, 503},
	}, newStockLines(g.orders).set)
	register(a, huma.Operation{
		OperationID: "get-stock", Method: http.MethodGet, Path: "/v1/stock/{sku}", Tags: []string{"stock"},
		Summary:     "Look at the stock of a SKU",
		Description: "404 means that it is not tracked.",
		Errors:      []int{404, 422, 503},
	}, g.getStock)
	register(a, huma.Operation{
		OperationID: "set-stock", Method: http.MethodPut, Path: "/v1/stock/{sku}", DefaultStatus: http.StatusOK, Tags: []string{"stock"},
		Summary:     "Set the stock of a SKU",
		Description: "Says how many are on hand, and has the SKU tracked from now on. 409 means that more are reserved for orders, 412 that the stock is not as If-Match says.",
		Errors:      []int{400, 409, 412, 413, 415, 422, 503},
	}, g.setStock)
	register(a, huma.Operation{
		OperationID: "adjust-stock", Method: http.MethodPost, Path: "/v1/stock/{sku}/adjust", Tags: []string{"stock"},
		Summary:     "Adjust the stock of a SKU",
		Description: "Adds to what is on hand, or takes from it. 404 means that the SKU is not tracked, 409 that fewer would be left than are reserved for orders, or that a request with the same Idempotency-Key is being worked on.",
		Errors:      []int{400, 404, 409, 413, 415, 422, 503},
	}, g.adjustStock)
	register(a, huma.Operation{
		OperationID: "payment-webhook", Method: http.MethodPost, Path: "/v1/webhooks/payment", DefaultStatus: http.StatusNoContent, Tags: []string{"orders"},
		Summary:     "Hear from the payment provider",
		Description: "Takes webhooks that are signed as Standard Webhooks 1.0.0 has it. 204 means that the payment is on disk, now or since an earlier delivery; after anything else the webhook is to be delivered again. 401 means that the signature is missing, wrong or too old, and a 409 of type webhook-replayed that this very delivery was answered before.",
		Errors:      []int{400, 401, 404, 409, 413, 415, 422, 503},
		// The body is verified before it is read, so it is described but not decoded.
		RequestBody: a.jsonBody(reflect.TypeFor[paymentEvent]()), SkipValidateBody: true, Metadata: map[string]any{signed: true},
	}, g.webhook.receive)
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
