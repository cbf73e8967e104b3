package openapi

import (
	"net/http"
	"testing"
)

// TestGeneratedClient does with the generated client what a shop would: it places an
// order, waits until a worker has come to it, and pays; and it is told what is wrong.
func TestGeneratedClient(t *testing.T) {
	client, err := NewClientWithResponses(open(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	placed, err := client.PlaceOrderWithResponse(ctx, &PlaceOrderParams{}, PlaceOrderJSONRequestBody{
		OrderId: to("1001"), CustomerId: to("17850"), Currency: "GBP",
		Items: &[]Line{{Sku: "85123A", Quantity: 6, UnitPriceMinor: 255}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if placed.StatusCode() != http.StatusAccepted || placed.JSON202 == nil || placed.JSON202.OrderId != "1001" {
		t.Fatalf("%s: %s", placed.Status(), placed.Body)
	}
	task, err := client.GetTaskWithResponse(ctx, "1001-placed", &GetTaskParams{Wait: to("30s")})
	if err != nil {
		t.Fatal(err)
	}
	if task.JSON200 == nil || task.JSON200.Attempts == nil || task.JSON200.State != "succeeded" || len(*task.JSON200.Attempts) != 1 {
		t.Fatalf("%s: %s", task.Status(), task.Body)
	}
	paid, err := client.PayOrderWithResponse(ctx, "1001", PayOrderJSONRequestBody{Reference: "ch_3PqX", AmountMinor: 1530, Currency: "GBP"})
	if err != nil {
		t.Fatal(err)
	}
	if paid.JSON200 == nil || paid.JSON200.TotalMinor != 1530 {
		t.Fatalf("%s: %s", paid.Status(), paid.Body)
	}
	wrong, err := client.SubmitTaskWithResponse(ctx, &SubmitTaskParams{}, SubmitTaskJSONRequestBody{Kind: "mail.send", Delay: to("soon")})
	if err != nil {
		t.Fatal(err)
	}
	p := wrong.ApplicationproblemJSON422
	if p == nil || p.Type == nil || *p.Type != "urn:millrace:problem:invalid" || p.Errors == nil || len(*p.Errors) != 1 || *(*p.Errors)[0].Location != "body.delay" {
		t.Errorf("%s: %s", wrong.Status(), wrong.Body)
	}
}

func to[T any](v T) *T { return &v }
