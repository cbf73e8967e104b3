package gateway

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"millrace/orders"
)

func TestStock(t *testing.T) {
	s := openShop(t, orders.Config{ByHand: true})
	s.work()
	s.ask(404, "GET", "/v1/stock/A", "")
	s.ask(404, "POST", "/v1/stock/A/adjust", `{"delta":1,"reason":"found"}`)
	s.ask(412, "PUT", "/v1/stock/A", `{"on_hand":5}`, "If-Match", "*")
	s.ask(412, "PUT", "/v1/stock/A", `{"on_hand":5}`, "If-Match", `"s0"`)
	resp, stock := s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":5}`)
	if fmt.Sprintf("%v %v %v", stock["sku"], stock["on_hand"], stock["available"]) != "A 5 5" {
		t.Errorf("%v", stock)
	}
	first := resp.Header.Get("ETag")
	if resp, _ := s.ask(200, "GET", "/v1/stock/A", ""); resp.Header.Get("ETag") != first {
		t.Errorf("ETag %s, then %s", first, resp.Header.Get("ETag"))
	}
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":6}`, "If-Match", first)
	for _, match := range []string{first, "W/" + first, `"x"`} {
		if resp, p := s.ask(412, "PUT", "/v1/stock/A", `{"on_hand":7}`, "If-Match", match); p["type"] != problemType("changed") || resp.Header.Get("ETag") != "" {
			t.Errorf("%v", p)
		}
	}
	for _, match := range []string{`"a", "b"`, "s1", `"a`, `a"`, `""x""`, "W/*", `W/"`, `"`} {
		resp, p := ask(t, "PUT", s.url+"/v1/stock/A", `{"on_hand":7}`, "If-Match", match)
		wantViolations(t, resp, p, "header.If-Match")
	}
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":6}`, "If-Match", "*")

	s.buy("one", "A", 4)
	s.wantStock("A", "6", "4", "2", "0")
	for path, body := range map[string]string{"PUT /v1/stock/A": `{"on_hand":3}`, "POST /v1/stock/A/adjust": `{"delta":-3,"reason":"lost"}`} {
		method, path, _ := strings.Cut(path, " ")
		if _, p := s.ask(409, method, path, body); !strings.Contains(p["detail"].(string), "4 are reserved") {
			t.Errorf("%v", p)
		}
	}
	s.ask(409, "POST", "/v1/stock/A/adjust", `{"delta":-1000000000000,"reason":"lost"}`)
	s.ask(422, "POST", "/v1/stock/A/adjust", `{"delta":1000000000000,"reason":"found"}`)
	s.wantStock("A", "6", "4", "2", "0")
	for body, want := range map[string]string{
		`{"on_hand":-1}`: "body.on_hand", `{"on_hand":1000000000001}`: "body.on_hand", `{"on_hand":"5"}`: "body.on_hand", `{"on_hand":1.5}`: "body.on_hand",
		`{}`: "body", `{"on_hand":1,"reserved":0}`: "body.reserved", `{"on_hand":9223372036854775808}`: "body.on_hand",
	} {
		s.refused("PUT", "/v1/stock/A", body, want)
	}
	for body, want := range map[string]string{
		`{"delta":0,"reason":"x"}`: "body.delta", `{"delta":1}`: "body", `{"delta":1,"reason":""}`: "body.reason", `{"delta":1,"reason":"a\tb"}`: "body.reason",
		`{"delta":9223372036854775807,"reason":"x"}`: "body.delta", `{"delta":-9223372036854775808,"reason":"x"}`: "body.delta",
		`{"delta":1,"reason":"` + strings.Repeat("ü", 501) + `"}`: "body.reason",
	} {
		s.refused("POST", "/v1/stock/A/adjust", body, want)
	}
}

func TestAdjustOnce(t *testing.T) {
	s := openShop(t, orders.Config{})
	s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":5}`)
	body := `{"delta":-2,"reason":"broken"}`
	resp, first := s.ask(200, "POST", "/v1/stock/A/adjust", body, "Idempotency-Key", "k")
	replay, again := s.ask(200, "POST", "/v1/stock/A/adjust", body, "Idempotency-Key", "k")
	if replay.Header.Get("Idempotent-Replayed") != "true" || replay.Header.Get("ETag") != resp.Header.Get("ETag") || fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("%v, then %v", first, again)
	}
	s.wantStock("A", "3", "0", "3", "0")
	s.ask(422, "POST", "/v1/stock/A/adjust", `{"delta":-1,"reason":"broken"}`, "Idempotency-Key", "k")
	s.ask(404, "POST", "/v1/stock/B/adjust", body, "Idempotency-Key", "k") // another SKU's
	// What was refused took no key.
	s.ask(409, "POST", "/v1/stock/A/adjust", `{"delta":-4,"reason":"broken"}`, "Idempotency-Key", "k2")
	_, last := s.ask(200, "POST", "/v1/stock/A/adjust", `{"delta":4,"reason":"found"}`, "Idempotency-Key", "k2")
	s.wantStock("A", "7", "0", "7", "0")
	if list := last["adjustments"].([]any); len(list) != 2 || list[0].(map[string]any)["reason"] != "broken" || list[1].(map[string]any)["reason"] != "found" {
		t.Errorf("%v", last)
	}
}

// A SKU is any text, and its place in the path is it, percent-encoded once.
func TestSKUsInPaths(t *testing.T) {
	s := openShop(t, orders.Config{})
	s.work()
	all := []string{
		"85123A", "BANK CHARGES", "a/b", "a/adjust", "100%", "%2F", "%", "a?b=c#d", "ü", "..", ".", "a+b", "*", ">", "a:b;c,d", `"`, "=", "a=2Fb", "\\", "_-~",
		strings.Repeat("ü", 32),
	}
	for i, sku := range all {
		path := "/v1/stock/" + strings.ReplaceAll(url.PathEscape(sku), ".", "%2E")
		if _, stock := s.ask(200, "PUT", path, fmt.Sprintf(`{"on_hand":%d}`, i)); stock["sku"] != sku {
			t.Errorf("%q was set as %q", sku, stock["sku"])
		}
	}
	for i, sku := range all {
		path := "/v1/stock/" + strings.ReplaceAll(url.PathEscape(sku), ".", "%2E")
		if _, stock := s.ask(200, "POST", path+"/adjust", `{"delta":1,"reason":"x"}`); stock["sku"] != sku || fmt.Sprint(stock["on_hand"]) != fmt.Sprint(i+1) {
			t.Errorf("%q is %v", sku, stock)
		}
		if o := s.buy(fmt.Sprint("o", i), sku, i+1); o["state"] != "awaiting_payment" {
			t.Errorf("%q: %v", sku, o)
		}
		s.wantStock(strings.TrimPrefix(path, "/v1/stock/"), fmt.Sprint(i+1), fmt.Sprint(i+1), "0", "0")
	}
	for _, path := range []string{string(make300()), "%20a", "a%0Ab", "a%00", "%FF", strings.Repeat("%C3%BC", 33)} {
		s.refused("GET", "/v1/stock/"+path, "", "path.sku")
		s.refused("PUT", "/v1/stock/"+path, `{"on_hand":1}`, "path.sku")
		s.refused("POST", "/v1/stock/"+path+"/adjust", `{"delta":1,"reason":"x"}`, "path.sku")
	}
	s.ask(404, "GET", "/v1/stock/", "")

	slices.Sort(all)
	var listed []string
	for query := "?limit=2"; query != ""; {
		_, page := s.ask(200, "GET", "/v1/stock"+query, "")
		for _, stock := range page["stock"].([]any) {
			listed = append(listed, stock.(map[string]any)["sku"].(string))
		}
		query = ""
		if next, more := page["next_cursor"].(string); more {
			query = "?limit=2&after=" + url.QueryEscape(next)
		}
	}
	if !slices.Equal(listed, all) {
		t.Errorf("listed are %q, want %q", listed, all)
	}
	for query, want := range map[string]string{"limit=0": "query.limit", "limit=1001": "query.limit", "after=" + string(make300()): "query.after"} {
		s.refused("GET", "/v1/stock?"+query, "", want)
	}
}

func TestUntrackedStock(t *testing.T) {
	for _, reject := range []bool{false, true} {
		s := openShop(t, orders.Config{RejectUntracked: reject})
		s.work()
		want := map[bool]string{false: "awaiting_payment", true: "rejected"}[reject]
		if o := s.buy("one", "A", 1); o["state"] != want {
			t.Errorf("%v", o)
		}
		s.ask(200, "PUT", "/v1/stock/A", `{"on_hand":1}`)
		if o := s.buy("two", "A", 1); o["state"] != "awaiting_payment" {
			t.Errorf("%v", o)
		}
		if o := s.buy("three", "A", 1); o["state"] != "rejected" {
			t.Errorf("%v", o)
		}
	}
}
