package gateway

import (
	"bytes"
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"millrace"
)

// readPlain reads the lines that bulk submissions mostly consist of, an id, a kind, a
// queue, args and tags, in a third of the time: it does by hand what the schema, the
// tree and the decoder do for any. It is false for whatever it does not know or would
// refuse; that is for the others to read, and to say what is wrong with it.
func readPlain(line []byte, body *bulkBody) bool {
	d := jsontext.NewDecoder(bytes.NewBuffer(line)) // which it reads without a copy
	token, err := d.ReadToken()
	if err != nil || token.Kind() != jsontext.KindBeginObject {
		return false
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadValue()
		if err != nil {
			return false
		}
		ok := false
		switch string(name) {
		case `"id"`:
			body.ID, ok = readWord(d)
			ok = ok && millrace.ValidateID(body.ID) == nil
		case `"kind"`:
			body.Kind, ok = readWord(d)
		case `"queue"`:
			body.Queue, ok = readWord(d)
			ok = ok && millrace.ValidateQueue(body.Queue) == nil
		case `"args"`:
			value, err := d.ReadValue()
			ok = err == nil && value.Kind() != jsontext.KindNull && !nestedDeeper(value, maxJSONDepth-1)
			body.Args = json.RawMessage(bytes.Clone(value))
		case `"tags"`:
			body.Tags, ok = readTags(d)
		}
		if !ok {
			return false
		}
	}
	if token, err := d.ReadToken(); err != nil || token.Kind() != jsontext.KindEndObject {
		return false
	}
	return millrace.ValidateKind(body.Kind) == nil && len(bytes.TrimSpace(line[d.InputOffset():])) == 0
}

// readWord reads a string of plain ASCII.
func readWord(d *jsontext.Decoder) (string, bool) {
	value, err := d.ReadValue()
	if err != nil || value.Kind() != jsontext.KindString || len(value) < 3 || len(value) > maxPlain {
		return "", false
	}
	word := value[1 : len(value)-1]
	for _, c := range word {
		if c == '\\' || c >= 0x80 {
			return "", false
		}
	}
	return string(word), true
}

// maxPlain is how long a plain word is, quoted, that no schema refuses for that.
const maxPlain = 100

func readTags(d *jsontext.Decoder) (tags []string, ok bool) {
	token, err := d.ReadToken()
	if err != nil || token.Kind() != jsontext.KindBeginArray {
		return nil, false
	}
	for d.PeekKind() == jsontext.KindString {
		tag, ok := readWord(d)
		if !ok || len(tags) == 20 {
			return nil, false
		}
		tags = append(tags, tag)
	}
	token, err = d.ReadToken()
	return tags, err == nil && token.Kind() == jsontext.KindEndArray && len(tags) > 0
}
