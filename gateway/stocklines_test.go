package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"millrace/orders"
)

func (s shop) setLines(want int, lines string) map[string]any {
	s.t.Helper()
	_, answer := s.ask(want, "PUT", "/v1/stock", lines, "Content-Type", mediaLines)
	return answer
}

func TestStockLines(t *testing.T) {
	s := openShop(t, orders.Config{})
	s.work()
	if got := s.setLines(200, "{\"sku\":\"A\",\"on_hand\":5}\r\n\n  {\"on_hand\": 0, \"sku\": \"BANK CHARGES\"}"); fmt.Sprint(got) != "map[errors:[] failed:0 set:2]" {
		t.Errorf("%v", got)
	}
	s.wantStock("A", "5", "0", "5", "0")
	s.buy("one", "A", 3)
	got := s.setLines(207, strings.Join([]string{
		`{"sku":"A","on_hand":2}`,
		`{"sku":"B","on_hand":7}`,
		``,
		`{"sku":"B","on_hand":8}`,
		`{"sku":"C"}`,
		`{"sku":"C","onhand":1}`,
		`{"sku":"C","on_hand":-1}`,
		`{"sku":"C","on_hand":1.5}`,
		`{"sku":"C","on_hand":92233720368547758080}`,
		`{"sku":" C","on_hand":1}`,
		`{"sku":"` + string(make300()) + `","on_hand":1}`,
		`{"sku":"C","on_hand":1,"on_hand":2}`,
		`{"sku":"C","on_hand":1`,
		`{"sku":"C","on_hand":1} {"sku":"D","on_hand":1}`,
		`[]`, `null`, `{"sku":"` + "\xff" + `","on_hand":1}`,
		`{"sku":"E","on_hand":9}`,
	}, "\n"))
	s.wantStock("A", "5", "3", "2", "0")
	s.wantStock("B", "7", "0", "7", "0")
	s.wantStock("E", "9", "0", "9", "0")
	s.ask(404, "GET", "/v1/stock/C", "")
	s.ask(404, "GET", "/v1/stock/D", "")
	want := []string{
		`1 A: 3 are reserved for orders, so that 2 on hand is too few: can`,
		`4 B: the SKU is on line 2 already`,
		`5 C: expected required property on_hand to be present`,
		`6 C: expected required property on_hand to be present; onhand: un`,
		`7 C: on hand can be 0 to 1000000000000, not -1`,
		`8 C: on_hand: expected integer`,
		`9 C: on_hand: cannot hold the number 92233720368547758080`,
		`10  C: the SKU begins or ends with a space`,
		`11 xxxxxxxxxx: the SKU has 300 bytes, and 64 is the most`,
		`12 <nil>: duplicate key "on_hand", at byte 23`,
		`13 <nil>: the text ends before the value does, at byte 23`,
		`14 <nil>: something follows the JSON value, at byte 24`,
		`15 <nil>: expected object`,
		`16 <nil>: expected object`,
		`17 <nil>: invalid UTF-8, at byte 8`,
	}
	var about []string
	for _, e := range got["errors"].([]any) {
		e := e.(map[string]any)
		about = append(about, fmt.Sprintf("%v %.10v: %.60v", e["line"], e["sku"], e["message"]))
	}
	if diff := cmp.Diff(want, about); diff != "" || got["set"] != json.Number("2") || got["failed"] != json.Number("15") {
		t.Errorf("%v of them set, %v not: %s", got["set"], got["failed"], diff)
	}
}

func TestStockLinesAreBounded(t *testing.T) {
	s := openShop(t, orders.Config{})
	s.ask(400, "PUT", "/v1/stock", "", "Content-Type", mediaLines)
	s.ask(415, "PUT", "/v1/stock", `[{"sku":"A","on_hand":5}]`)
	s.ask(415, "PUT", "/v1/stock/A", `{"on_hand":5}`, "Content-Type", mediaLines)
	s.ask(413, "PUT", "/v1/stock", strings.Repeat(" ", 256<<10+1), "Content-Type", mediaLines)
	if got := s.setLines(207, strings.Repeat("x\n", 5000)); fmt.Sprintf("%v %v %d", got["set"], got["failed"], len(got["errors"].([]any))) != "0 5000 1000" {
		t.Errorf("set %v, failed %v, errors %d", got["set"], got["failed"], len(got["errors"].([]any)))
	}
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, `{"sku":"sku %d","on_hand":%d}`+"\n", i, i)
	}
	if got := s.setLines(200, many.String()); got["set"] != json.Number("3000") {
		t.Errorf("%v", got)
	}
	s.wantStock("sku%202999", "2999", "0", "2999", "0")
}
