package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
)

func TestStrictJSONIsTaken(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `""`, `0`, `-0`, `-12.5e+3`, `1E400`, `9007199254740993`, `true`, `false`, `null`,
		" \t\r\n{ \"a\" : [ 1 , 2 ] } \n", `{"a":{"a":{"a":1}},"b":{"a":1}}`, `[{"a":1},{"a":1}]`,
		`{"":1}`, `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`, `"é😀\u0000"`, `{"a":1,"A":2}`,
		strings.Repeat("[", maxJSONDepth) + strings.Repeat("]", maxJSONDepth),
		objectOf(30), objectOf(1000),
		`{"x":` + objectOf(20) + `,"y":` + objectOf(20) + `}`,
	} {
		if _, err := readJSON([]byte(text), jsonView{}); err != nil {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

// objectOf is an object of n keys, each with an object inside.
func objectOf(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"key%d":{"a":1}`, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestStrictJSONIsRefused(t *testing.T) {
	twice := strings.TrimSuffix(objectOf(1000), "}") + `,"key7":0}`
	for _, c := range []struct{ text, message string }{
		{``, `there is no value in body, at byte 0`},
		{" \n", `there is no value in body, at byte 2`},
		{`{"a":1,"a":2}`, `duplicate key "a" in body, at byte 7`},
		{`{"a":1, "\u0061":2}`, `duplicate key "a" in body, at byte 8`},
		{`{"\u0061":1,"a":2}`, `duplicate key "a" in body, at byte 12`},
		{`{"é":1,"\u00e9":2}`, `duplicate key "é" in body, at byte 8`},
		{`{"\ud83d\ude00":1,"😀":2}`, `duplicate key "😀" in body, at byte 18`},
		{`{"items":[0,{"sku":1,"sku":2}]}`, `duplicate key "sku" in body.items[1], at byte 21`},
		{twice, fmt.Sprintf(`duplicate key "key7" in body, at byte %d`, len(twice)-len(`"key7":0}`))},
		{`{"a":` + objectOf(20) + `,"b":{"a":1,"a":1}}`, `duplicate key "a" in body.b, at byte 328`},
		{strings.Repeat("[", maxJSONDepth+1), "nested more than 64 levels deep in body" + strings.Repeat("[0]", maxJSONDepth) + ", at byte 64"},
		{strings.Repeat(`{"a":`, maxJSONDepth+1), "nested more than 64 levels deep in body" + strings.Repeat(".a", maxJSONDepth) + ", at byte 320"},
		{`{} {}`, `something follows the JSON value in body, at byte 3`},
		{"{}\x00", `something follows the JSON value in body, at byte 2`},
		{"\xef\xbb\xbf{}", "invalid character '\\ufeff' at start of value in body, at byte 0"},
		{"\"a\xff\"", `invalid UTF-8 in body, at byte 2`},
		{"\"\xed\xa0\x80\"", `invalid UTF-8 in body, at byte 1`},
		{"\xff", `invalid character '\xff' at start of value in body, at byte 0`},
		{`"\ud800"`, "invalid surrogate pair `\\ud800\"` in string in body, at byte 1"},
		{`"\ud800\ud800"`, "invalid surrogate pair `\\ud800\\ud800` in string in body, at byte 1"},
		{`"\ude00\ud83d"`, "invalid surrogate pair `\\ude00\\ud83d` in string in body, at byte 1"},
		{`"\ud83dude00"`, "invalid surrogate pair `\\ud83dude00\"` in string in body, at byte 1"},
		{`"\ud83d\n"`, "invalid surrogate pair `\\ud83d\\n\"` in string in body, at byte 1"},
		{`"\x"`, "invalid escape sequence `\\x` in string in body, at byte 1"},
		{`"\u12g4"`, "invalid escape sequence `\\u12g4` in string in body, at byte 1"},
		{`"\`, "the text ends before the value does in body, at byte 2"},
		{"\"a\nb\"", "invalid character '\\n' in string (expecting non-control character) in body, at byte 2"},
		{`"a`, `the text ends before the value does in body, at byte 2`},
		{`{"a" 1}`, `invalid character '1' after object name (expecting ':') in body.a, at byte 5`},
		{`{"a":1 "b":2}`, `invalid character '"' after object value (expecting ',' or '}') in body, at byte 7`},
		{`{"a":1,}`, `invalid character '}' at start of string (expecting '"') in body, at byte 7`},
		{`{a:1}`, `invalid character 'a' at start of string (expecting '"') in body, at byte 1`},
		{`[1,]`, `invalid character ']' at start of value in body[1], at byte 3`},
		{`[1 2]`, `invalid character '2' after array element (expecting ',' or ']') in body, at byte 3`},
		{`[1`, `the text ends before the value does in body, at byte 2`},
		{`01`, `something follows the JSON value in body, at byte 1`},
		{`-`, `the text ends before the value does in body, at byte 1`},
		{`1.`, `the text ends before the value does in body, at byte 2`},
		{`1e+x`, `invalid character 'x' in number (expecting digit) in body, at byte 3`},
		{`.5`, `invalid character '.' at start of value in body, at byte 0`},
		{`+1`, `invalid character '+' at start of value in body, at byte 0`},
		{`NaN`, `invalid character 'N' at start of value in body, at byte 0`},
		{`trux`, `invalid character 'x' in literal true (expecting 'e') in body, at byte 3`},
		{`{"a":[{"b":1]}`, `invalid character ']' after object value (expecting ',' or '}') in body.a[0], at byte 12`},
		{`{"0":["x",{"1":tru}]}`, `invalid character '}' in literal true (expecting 'e') in body.0[1].1, at byte 18`},
		{`{"a/b~c":[nul]}`, `invalid character ']' in literal null (expecting 'l') in body.a/b~c[0], at byte 13`},
		{`tru`, `the text ends before the value does in body, at byte 3`},
	} {
		for _, view := range []jsonView{{}, {all: true}} {
			_, err := readJSON([]byte(c.text), view)
			if err == nil || err.Error() != c.message {
				t.Errorf("%.60s\n got: %v\nwant: %s", c.text, err, c.message)
			}
			if _, ok := errors.AsType[*jsonError](err); !ok {
				t.Errorf("%.60s: %T", c.text, err)
			}
		}
	}
}

func TestWhatIsNotShownIsNotKept(t *testing.T) {
	text := []byte(`{"kind":"mail.send","args":[` + strings.Repeat(`{"to":"ada","n":1},`, 1000) + `0]}`)
	// Kept would be 3,000. The reader's own come from a pool, or not.
	if n := testing.AllocsPerRun(100, func() { _, _ = readJSON(text, jsonView{}) }); n > 50 {
		t.Errorf("%v allocations", n)
	}
}

// viewed has a bit of each kind of schema.
type viewed struct {
	Name   string                     `json:"name" minLength:"2"`
	Args   json.RawMessage            `json:"args,omitempty"`
	Any    any                        `json:"any,omitempty"`
	List   []viewedItem               `json:"list,omitempty" maxItems:"3"`
	Item   *viewedItem                `json:"item,omitempty"`
	Counts map[string]int             `json:"counts,omitempty"`
	Raws   map[string]json.RawMessage `json:"raws,omitempty"`
	Unique []string                   `json:"unique,omitempty" uniqueItems:"true"`
	Color  string                     `json:"color,omitempty" enum:"red,blue"`
	Ratio  float64                    `json:"ratio,omitempty" minimum:"0" maximum:"1"`
}

type viewedItem struct {
	SKU  string          `json:"sku" pattern:"^[A-Z0-9]+$"`
	Next *viewedItem     `json:"next,omitempty"`
	Raw  json.RawMessage `json:"raw"`
}

func viewedSchema() (*huma.Schema, huma.Registry) {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	return schemas.Schema(reflect.TypeFor[viewed](), true, ""), schemas
}

func TestViewHasWhatTheSchemaSpeaksAbout(t *testing.T) {
	schema, schemas := viewedSchema()
	tree, err := readJSON([]byte(`{
		"name": "n\u0061me", "args": {"deep": [1]}, "any": "x", "unknown": [2], "counts": {"a": 12345678901234567890},
		"list": [{"sku": "A", "raw": null, "next": {"raw": 1.50}}, 5], "item": null, "unique": [{"a": 1}], "ratio": 0.5
	}`), viewOf(schema, schemas))
	if err != nil {
		t.Fatal(err)
	}
	want := map[any]any{
		"name": "name", "args": unseen{}, "any": unseen{}, "unknown": unseen{}, "item": nil, "ratio": json.Number("0.5"),
		"counts": map[any]any{"a": json.Number("12345678901234567890")},
		"list": []any{
			map[any]any{"sku": "A", "raw": nil, "next": map[any]any{"raw": unseen{}}},
			json.Number("5"),
		},
		"unique": []any{map[any]any{"a": json.Number("1")}},
	}
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Error(diff)
	}
}

// FuzzStrictJSON holds the reader against encoding/json and a slow and simple
// search for duplicates, and the view against the whole tree: validation must
// find the same in both.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{
		sampleTask, `{"a":1,"\u0061":2}`, `"\ud83d\ude00"`, `"\ud800"`, "\"\xff\"", `[1,]`, `{"a":}`, `01`, `-1.5e-3`, `nul`, ` {} `,
		strings.Repeat("[", 65) + strings.Repeat("]", 65), objectOf(30), `{"name":"x","list":[{"sku":"a","next":{"raw":[]}}]}`,
		`{"name":"xx","Name":1,"unique":["a","a",[1]],"counts":{"a":"b","c":1.5},"color":"green","ratio":2,"item":{"sku":1}}`,
		`{"name":null,"args":null,"list":null,"item":5,"raws":{"a":null},"any":{"a":[]},"unknown":{"x":1}}`,
		`{"":null,"l.01":null,"0":{},"2[":{}}`,
	} {
		f.Add([]byte(seed))
	}
	schema, schemas := viewedSchema()
	f.Fuzz(func(t *testing.T, data []byte) {
		if regexp.MustCompile(`\x{FFFD}|(?i)\\ufffd`).Match(data) {
			t.Skip("it stands for half a pair in what encoding/json returns")
		}
		text := string(data)
		want, valid := slowJSON(data)
		_, err := readJSON([]byte(text), jsonView{})
		tree, treeErr := readJSON([]byte(text), jsonView{all: true})
		if valid != (err == nil) || valid != (treeErr == nil) {
			t.Fatalf("%q: valid is %t, but %v, %v", text, valid, err, treeErr)
		}
		if !valid {
			return
		}
		if !reflect.DeepEqual(want, tree) { // cmp takes exponential time for nested slices
			t.Fatalf("%q: %v, want %v", text, tree, want)
		}
		view, err := readJSON([]byte(text), viewOf(schema, schemas))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(violationsOf(schema, schemas, tree), violationsOf(schema, schemas, view)); diff != "" {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

func violationsOf(schema *huma.Schema, schemas huma.Registry, tree any) (found []string) {
	var result huma.ValidateResult
	huma.Validate(schemas, schema, huma.NewPathBuffer([]byte("body"), 4), huma.ModeWriteToServer, tree, &result)
	for _, err := range result.Errors {
		d := err.(*huma.ErrorDetail)
		found = append(found, d.Location+": "+d.Message)
	}
	slices.Sort(found)
	return found
}

// slowJSON is what readJSON does, by encoding/json.
func slowJSON(data []byte) (any, bool) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	tree, ok := slowValue(d, 1)
	_, err := d.Token()
	return tree, ok && err == io.EOF
}

func slowValue(d *json.Decoder, depth int) (any, bool) {
	token, err := d.Token()
	if err != nil {
		return nil, false
	}
	switch token := token.(type) {
	case string:
		return token, !strings.ContainsRune(token, utf8.RuneError)
	case json.Delim:
		if depth > maxJSONDepth {
			return nil, false
		}
		items, members := []any{}, map[any]any{}
		for d.More() {
			var key any
			if token == '{' {
				name, ok := slowValue(d, 0)
				if !ok {
					return nil, false
				}
				key = treeKey(name.(string))
				if _, twice := members[key]; twice {
					return nil, false
				}
			}
			value, ok := slowValue(d, depth+1)
			if !ok {
				return nil, false
			}
			items, members[key] = append(items, value), value
		}
		if _, err := d.Token(); err != nil {
			return nil, false
		}
		if token == '{' {
			return members, true
		}
		return items, true
	default:
		return token, true
	}
}
