package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// The history of a schedule has what run submitted, and what became of each task, also
// when nothing of that is kept any more.
func TestScheduleHistory(t *testing.T) {
	url, _ := running(t)
	where := url + "/v1/schedules/yearly"
	ask(t, "PUT", where, `{"kind":"echo","args":7,"cron":"@yearly","result_ttl":"1s"}`)
	_, first := ask(t, "POST", where+"/run", "", "Idempotency-Key", "k")
	ask(t, "POST", where+"/run", "", "Idempotency-Key", "k")
	_, second := ask(t, "POST", where+"/run", "")
	ask(t, "GET", url+"/v1/tasks/"+second["id"].(string)+"?wait=5s", "")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, shown := ask(t, "GET", where, "")
		history := shown["history"].([]any)
		if len(history) != 2 {
			t.Fatalf("%v", history)
		}
		expired := 0
		for i, id := range []any{first["id"], second["id"]} {
			r := history[i].(map[string]any)
			if r["task"] != id || r["due_at"] != nil || r["at"] == nil || !slices.Contains([]any{"pending", "running", "succeeded", "expired"}, r["state"]) {
				t.Errorf("%v, want that of %s", r, id)
			}
			if r["state"] == "expired" {
				expired++
			}
		}
		if expired == 2 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("their records do not expire: %v", history)
		}
	}
}

func TestListSchedulesByPages(t *testing.T) {
	url, _ := running(t)
	for i := range 5 {
		ask(t, "PUT", fmt.Sprintf("%s/v1/schedules/s%d", url, i), `{"kind":"echo","cron":"@yearly"}`)
	}
	var names []any
	for after := ""; ; {
		_, page := ask(t, "GET", url+"/v1/schedules?limit=2&after="+after, "")
		for _, s := range page["schedules"].([]any) {
			names = append(names, s.(map[string]any)["name"])
		}
		if page["next_cursor"] == nil {
			break
		}
		after = page["next_cursor"].(string)
	}
	if fmt.Sprint(names) != "[s0 s1 s2 s3 s4]" {
		t.Errorf("%v", names)
	}
	for _, query := range []string{"after=a.b", "limit=0", "limit=201"} {
		if resp, p := ask(t, "GET", url+"/v1/schedules?"+query, ""); resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %v", query, resp.StatusCode, p)
		}
	}
}
