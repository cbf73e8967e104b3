package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"millrace/orders"
	"millrace/streams"
)

// payFunc records a payment for an order. The same reference again is the same
// payment, and changes nothing.
type payFunc func(ctx context.Context, orderID, reference string, amountMinor int64, currency string) error

// paymentWebhook takes what a payment provider has to tell. Whoever can sign may:
// it asks for nothing else.
type paymentWebhook struct {
	verifier   verifier
	deliveries *deliveries
	pay        payFunc
}

func newPaymentWebhook(secrets []string, claims *streams.Bucket, log *slog.Logger, pay payFunc) (*paymentWebhook, error) {
	v, err := newVerifier(secrets)
	if err != nil {
		return nil, err
	}
	return &paymentWebhook{verifier: v, deliveries: &deliveries{bucket: claims, log: log}, pay: pay}, nil
}

type paymentWebhookInput struct {
	ID         string `header:"webhook-id" doc:"Names the webhook, the same each time that it is delivered." example:"msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"`
	Timestamp  string `header:"webhook-timestamp" doc:"When this delivery was sent, in unix seconds; at most 5 minutes off." example:"1674087231"`
	Signatures string `header:"webhook-signature" doc:"One or more of v1,<base64 of the HMAC-SHA256>, with spaces between."`
	RawBody    []byte
}

// paymentEvent describes the body. Providers add members whenever they like, so
// unlike elsewhere what we do not know is left alone.
type paymentEvent struct {
	_    struct{}    `additionalProperties:"true"`
	Type string      `json:"type" doc:"payment.succeeded; any other is answered with 204, and nothing comes of it." example:"payment.succeeded"`
	Data paymentData `json:"data"`
}

type paymentData struct {
	_           struct{} `additionalProperties:"true"`
	OrderID     string   `json:"order_id" doc:"The order that was paid for."`
	AmountMinor int64    `json:"amount_minor" doc:"The whole total of the order, in minor units." example:"850"`
	Currency    string   `json:"currency" doc:"The order's currency." example:"GBP"`
	Reference   string   `json:"reference" doc:"The provider's name of the payment: the same twice is one payment." example:"ch_3PqX"`
}

// paymentSucceeded is the type of event that pays for an order.
const paymentSucceeded = "payment.succeeded"

// receive verifies a webhook and does what it says. Nothing of the body is looked at
// before its signature is known to be good.
func (w *paymentWebhook) receive(ctx context.Context, in *paymentWebhookInput) (*struct{}, error) {
	if len(w.verifier.keys) == 0 {
		return nil, webhookNotConfigured()
	}
	sent, err := w.verifier.verify(seal{in.ID, in.Timestamp, in.Signatures}, in.RawBody, time.Now())
	if err != nil {
		return nil, notVerified(err)
	}
	event, err := readPaymentEvent(in.RawBody)
	if err != nil {
		return nil, err
	}
	if event.Type != paymentSucceeded {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, workTime)
	defer cancel()
	err = w.deliveries.once(ctx, in.ID, sent, func(ctx context.Context) error {
		p := event.Data
		return w.pay(ctx, p.OrderID, p.Reference, p.AmountMinor, p.Currency)
	})
	return nil, paymentProblem(err)
}

// readPaymentEvent reads a body; of an event of another type only the type, since
// its data may be anything.
func readPaymentEvent(body []byte) (event paymentEvent, err error) {
	var envelope struct {
		Type string `json:"type"`
	}
	if _, err := readJSON(body, jsonView{}); err != nil {
		return event, badEvent(http.StatusBadRequest, body, err)
	}
	if err := decodeChecked(body, &envelope); err != nil {
		return event, badEvent(http.StatusUnprocessableEntity, body, err)
	}
	if envelope.Type == "" {
		return event, badEvent(http.StatusUnprocessableEntity, body, errors.New("body.type: must not be empty"))
	}
	if envelope.Type != paymentSucceeded {
		event.Type = envelope.Type
		return event, nil
	}
	if err := decodeChecked(body, &event); err != nil {
		return event, badEvent(http.StatusUnprocessableEntity, body, err)
	}
	return event, nil
}

// badEvent tells what is wrong with a body as huma would.
func badEvent(status int, body []byte, err error) *problem {
	p := newProblem(status, "The body is not an event as the API describes it. See errors.")
	if status == http.StatusUnprocessableEntity {
		p.Type, p.Title = problemType("invalid"), "Not valid"
	}
	p.Errors = []*huma.ErrorDetail{{Location: "body", Message: err.Error(), Value: string(body)}}
	return p
}

// notVerified is for all that is wrong with a signature.
func notVerified(err error) *problem {
	p := newProblem(http.StatusUnauthorized, "This webhook is not taken: "+err.Error()+".")
	p.Type, p.Title = problemType("webhook-not-verified"), "Not verified"
	p.header = http.Header{fiber.HeaderWWWAuthenticate: {"StandardWebhooks"}} // HTTP asks for one with each 401
	return p
}

func webhookNotConfigured() *problem {
	p := newProblem(http.StatusNotFound, "This server has no secret to verify payment webhooks with. Give it one with --payment-webhook-secret-file.")
	p.Type, p.Title = problemType("webhook-not-configured"), "Not configured"
	return p
}

// paymentProblem tells of a payment that was not taken. What the orders find wrong
// with it is in the event's data.
func paymentProblem(err error) error {
	violations, ok := errors.AsType[orders.Violations](err)
	if !ok {
		return err
	}
	p := newProblem(http.StatusUnprocessableEntity, "This payment cannot be taken. See errors.")
	p.Type, p.Title = problemType("invalid"), "Not valid"
	for _, v := range violations {
		p.Errors = append(p.Errors, &huma.ErrorDetail{Location: strings.Replace(v.Location, "body.", "body.data.", 1), Message: v.Message})
	}
	return p
}
