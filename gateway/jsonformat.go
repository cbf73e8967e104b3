package gateway

import (
	"errors"
	"fmt"
	"io"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// jsonFormat is how the API reads and writes application/json, the only format
// it has: in strictly (see strictjson.go), out without escaping HTML.
func jsonFormat() huma.Format {
	return huma.Format{Marshal: encodeJSON, Unmarshal: decodeJSON}
}

// asTagged writes answers by what their tags mean to encoding/json: some of the
// types are huma's, and huma describes ours by that. Results of handlers are
// written as they are, and need not be strict JSON.
var asTagged = json.JoinOptions(
	jsonv1.OmitEmptyWithLegacySemantics(true),
	json.FormatNilSliceAsNull(true),
	json.FormatNilMapAsNull(true),
	json.Deterministic(true),
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	jsontext.PreserveRawStrings(true),
)

// encodeJSON writes v on one line and ends it. Nothing is written if v cannot
// be encoded. A json.RawMessage keeps its numbers and strings as they are.
func encodeJSON(w io.Writer, v any) error {
	data, err := json.Marshal(v, asTagged)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// decodeJSON reads one strict JSON text into v. The error is a *jsonError for
// what is not strict, or says which field cannot hold what.
func decodeJSON(data []byte, v any) error {
	if _, err := readJSON(data, jsonView{}); err != nil {
		return err
	}
	return decodeChecked(data, v)
}

// decodeChecked is for what readJSON has taken.
func decodeChecked(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		what := wrong.JSONKind.String()
		switch {
		case wrong.JSONKind == jsontext.KindBeginObject:
			what = "object"
		case wrong.JSONKind == jsontext.KindBeginArray:
			what = "array"
		case wrong.JSONKind == jsontext.KindNumber && wrong.JSONValue != nil:
			what += " " + clip(string(wrong.JSONValue), maxValue)
		}
		return fmt.Errorf("%s: cannot hold the %s", locationIn(data, wrong.JSONPointer, wrong.ByteOffset), what)
	}
	return err
}
