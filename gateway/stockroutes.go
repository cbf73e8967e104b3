package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// stockRoutes is the API of stock.
func (g *Gateway) stockRoutes(a *api) {
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
}
