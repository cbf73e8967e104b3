package main

import (
	"encoding/json"
	"testing"
)

// The same line gets the same id each time, and a line without a reference one for
// each time it is in the file.
func TestOrderIDsOfLines(t *testing.T) {
	for name, c := range map[string]struct{ line, same string }{
		"by reference":     {`{"reference":"1","currency":"GBP"}`, `{"reference":"1","currency":"EUR"}`},
		"null is none":     {`{"order_id":null,"reference":"1"}`, `{"reference":"1"}`},
		"empty is none":    {`{"reference":"1","order_id":""}`, `{"reference":"1"}`},
		"without either":   {`{"order_id":"","currency":"GBP"}`, `{"currency":"GBP"}`},
		"an empty object":  {`{}`, `{ }`},
		"spaces before it": {`{   "reference" : "1"}`, `{"reference":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			id := func(line string, seen map[string]int) string {
				l := parseLine([]byte(line), seen)
				if l.bad != nil {
					t.Fatal(l.bad)
				}
				var order struct {
					ID string `json:"order_id"`
				}
				if err := json.Unmarshal(l.data, &order); err != nil || order.ID == "" || order.ID != l.id {
					t.Fatalf("%s becomes %s with the id %s, %v", line, l.data, l.id, err)
				}
				return order.ID
			}
			first := id(c.line, map[string]int{})
			if again := id(c.line, map[string]int{}); again != first {
				t.Errorf("%s is %s, and then %s", c.line, first, again)
			}
			if name != "an empty object" { // its text is all that it has
				if same := id(c.same, map[string]int{}); same != first {
					t.Errorf("%s is %s, and %s is %s", c.line, first, c.same, same)
				}
			}
		})
	}
	if l := parseLine([]byte(`{"order_id":"mine"}`), nil); string(l.data) != `{"order_id":"mine"}` {
		t.Errorf("an id of the file's own becomes %s", l.data)
	}
}
