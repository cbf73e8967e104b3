package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// operation is the API as huma sees it for one operation. For each body huma
// asks Unmarshal twice: for a tree, which it validates, and for the Go value.
// Since the operation knows the schema, the tree has no more than that needs;
// and since the first time checks the text, the second need not.
type operation struct {
	huma.API
	body    jsonView
	checked bool // the tree is asked for
}

// Config is where huma looks for its settings, by asking for this method.
func (o *operation) Config() huma.Config {
	return o.API.(interface{ Config() huma.Config }).Config()
}

// Adapter is o itself, so that it sees the operation when it is complete.
func (o *operation) Adapter() huma.Adapter { return o }

// Handle implements [huma.Adapter].
func (o *operation) Handle(op *huma.Operation, serve func(huma.Context)) {
	if op.RequestBody != nil && op.RequestBody.Content[mediaJSON] != nil {
		// An input that has RawBody besides Body is not said to take bytes as well.
		delete(op.RequestBody.Content, "application/octet-stream")
		o.body = viewOf(op.RequestBody.Content[mediaJSON].Schema, o.OpenAPI().Components.Schemas)
		o.checked = !op.SkipValidateBody
	}
	if op.RequestBody != nil && op.RequestBody.Content[mediaLines] != nil {
		// Nor is one that has RawBody alone: it is text.
		op.RequestBody.Content[mediaLines].Schema = &huma.Schema{Type: huma.TypeString}
	}
	describeStatuses(op)
	o.API.Adapter().Handle(op, serve)
}

// ServeHTTP implements [huma.Adapter].
func (o *operation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.API.Adapter().ServeHTTP(w, r)
}

// Unmarshal implements [huma.API]. The adapter has let JSON only come here.
func (o *operation) Unmarshal(_ string, data []byte, v any) error {
	if !o.checked {
		return decodeJSON(data, v)
	}
	tree, ok := v.(*any)
	if !ok {
		return decodeChecked(data, v)
	}
	var err error
	*tree, err = readJSON(data, o.body)
	return err
}
