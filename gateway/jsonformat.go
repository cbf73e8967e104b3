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
	if _, err := readJSON(string(data), jsonView{}); err != nil {
		return err
	}
	return decodeChecked(data, v)
}

func decodeChecked(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("body.%s: cannot hold the %s", wrong.Field, clip(wrong.Value, maxValue))
	}
	return err
}
