package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/danielgtaylor/huma/v2"
)

// jsonFormat is how the API reads and writes application/json, the only format
// it has: in strictly (see strictjson.go), out without escaping HTML.
//
// For each body huma asks twice: for a tree, which it validates against the
// schema, and once that is done, for the Go value.
func jsonFormat() huma.Format {
	return huma.Format{Marshal: encodeJSON, Unmarshal: decodeJSON}
}

// encodeJSON writes v on one line and ends it. Nothing is written if v cannot
// be encoded. A json.RawMessage keeps its numbers and strings as they are.
func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// decodeJSON reads one strict JSON text into v. The error is a *jsonError for
// what is not strict, or says which field cannot hold what.
func decodeJSON(data []byte, v any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	if tree, ok := v.(*any); ok {
		*tree = (&jsonTree{text: string(data)}).value()
		return nil
	}
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: cannot hold the %s", wrong.Field, clip(wrong.Value, maxValue))
	}
	return err
}
