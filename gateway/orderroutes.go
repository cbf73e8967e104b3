package gateway

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// orderRoutes is the API of orders and their payment.
func (g *Gateway) orderRoutes(a *api) {
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
		OperationID: "payment-webhook", Method: http.MethodPost, Path: "/v1/webhooks/payment", DefaultStatus: http.StatusNoContent, Tags: []string{"orders"},
		Summary:     "Hear from the payment provider",
		Description: "Takes webhooks that are signed as Standard Webhooks 1.0.0 has it. 204 means that the payment is on disk, now or since an earlier delivery; after anything else the webhook is to be delivered again. 401 means that the signature is missing, wrong or too old, and a 409 of type webhook-replayed that this very delivery was answered before.",
		Errors:      []int{400, 401, 404, 409, 413, 415, 422, 503},
		// The body is verified before it is read, so it is described but not decoded.
		RequestBody: a.jsonBody(reflect.TypeFor[paymentEvent]()), SkipValidateBody: true, Metadata: map[string]any{signed: true},
	}, g.webhook.receive)
}
