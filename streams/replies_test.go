package streams

import (
	"encoding/json"
	"testing"
)

// What the quick way reads of an acknowledgement is what is there.
func FuzzQuickSeq(f *testing.F) {
	for _, ack := range []string{
		`{"stream":"TASKS_default","seq":1}`, `{"stream":"S","domain":"d","seq":18446744073709551615,"duplicate":true}`,
		`{"stream":"S","seq":12,"batch":"b","count":3}`, `{"error":{"code":400,"err_code":10071,"description":"wrong"},"stream":"S","seq":0}`,
		`{"type":"io","stream":"S","seq":7,"error":{}}`, `{}`, ``, `,"seq":1`, `{"a":1,"seq":99999999999999999999999}`,
	} {
		f.Add([]byte(ack))
	}
	f.Fuzz(func(t *testing.T, ack []byte) {
		seq, ok := quickSeq(ack)
		var full pubAck
		if !ok || json.Unmarshal(ack, &full) != nil || !plain(ack) {
			return // the long way goes its own, and the server does not write such
		}
		if full.Error != nil || full.Seq != seq {
			t.Errorf("%s: read %d, want %d, %+v", ack, seq, full.Seq, full.Error)
		}
	})
}

// plain reports whether each member is there once, at the top, as the server
// writes them.
func plain(ack []byte) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(ack, &members) != nil {
		return false
	}
	again, err := json.Marshal(members)
	return err == nil && len(again) == len(ack)
}
