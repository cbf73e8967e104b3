package gateway

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"millrace"
	"millrace/gateway/dashboard"
	"millrace/orders"
	"millrace/processor"
)

// operator is somebody with a browser, who follows what he is shown.
type operator struct {
	shop
	client *http.Client
}

func newOperator(t *testing.T) operator {
	t.Helper()
	s := openShop(t, orders.Config{ByHand: true})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return operator{s, &http.Client{Jar: jar}}
}

// open shows a page.
func (o operator) open(path string) string {
	o.t.Helper()
	return o.read(http.StatusOK, func() (*http.Response, error) { return o.client.Get(o.url + path) })
}

// send sends a form, with the token of the pages, and shows where it leads.
func (o operator) send(path string, fields ...string) string {
	o.t.Helper()
	form := url.Values{"token": {o.token()}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return o.read(http.StatusOK, func() (*http.Response, error) { return o.client.PostForm(o.url+path, form) })
}

func (o operator) token() string {
	o.t.Helper()
	return tokenOf(o.t, o.open("/queues"))
}

func tokenOf(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatal("a page has no token")
	}
	return m[1]
}

func (o operator) read(want int, do func() (*http.Response, error)) string {
	o.t.Helper()
	resp, err := do()
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		o.t.Fatalf("%s %s: %d %v, want %d\n%s", resp.Request.Method, resp.Request.URL, resp.StatusCode, err, want, data)
	}
	if policy := resp.Header.Get("Content-Security-Policy"); policy != dashboard.Policy {
		o.t.Errorf("%s: policy %q", resp.Request.URL, policy)
	}
	return string(data)
}

// shows fails unless a page has all of those texts.
func (o operator) shows(page string, texts ...string) {
	o.t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			o.t.Errorf("the page does not show %q:\n%s", text, page)
		}
	}
}

// evil is what somebody may call his goods, his errors and himself.
const evil = `<script>alert("x")</script><img src=x onerror=alert(1)>'"&`

// works runs a worker whose tasks fail with such an error.
func (o operator) works() {
	p := processor.New(o.store, processor.Config{})
	o.orders.Register(p)
	processor.Handle(p, "test.fail", func(_ context.Context, t millrace.Task[map[string]any]) (any, error) {
		if t.Args["good"] == true {
			return map[string]string{"said": evil}, nil
		}
		return nil, millrace.Permanent(io.ErrUnexpectedEOF)
	}, processor.Kind{})
	processor.Handle(p, "test.evil", func(context.Context, millrace.Task[any]) (any, error) {
		panic(evil)
	}, processor.Kind{MaxAttempts: 1})
	o.run(p.Run)
}

// submit submits a task and waits until it has ended.
func (o operator) submit(body string) string {
	o.t.Helper()
	_, task := o.ask(http.StatusAccepted, "POST", "/v1/tasks", body)
	id := task["id"].(string)
	_, _ = o.ask(http.StatusOK, "GET", "/v1/tasks/"+id+"?wait=30s", "")
	return id
}

func quoted(text string) string { return strings.ReplaceAll(text, `"`, `\"`) }

// furnished is an operator with something on every page, and where that is.
func furnished(t *testing.T) (o operator, paths []string) {
	o = newOperator(t)
	o.works()
	failed := o.submit(`{"kind":"test.evil","args":"` + quoted(evil) + `","tags":["` + quoted(evil) + `"]}`)
	good := o.submit(`{"kind":"test.fail","args":{"good":true}}`)
	o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"test.fail","delay":"1h"}`)
	sku := url.PathEscape(evil)
	o.ask(http.StatusOK, "PUT", "/v1/stock/"+sku, `{"on_hand":5}`)
	_, placed := o.ask(http.StatusAccepted, "POST", "/v1/orders", `{"reference":"`+quoted(evil)+`","customer_id":"`+quoted(evil)+`","currency":"GBP",
		"items":[{"sku":"`+quoted(evil)+`","description":"`+quoted(evil)+`","quantity":2,"unit_price_minor":255}]}`)
	order := placed["order_id"].(string)
	o.ask(http.StatusOK, "GET", "/v1/tasks/"+order+"-placed?wait=30s", "")
	o.ask(http.StatusCreated, "PUT", "/v1/schedules/nightly", `{"kind":"test.fail","cron":"0 3 * * *","args":"`+quoted(evil)+`"}`)
	return o, []string{
		"/", "/tasks", "/tasks?state=failed", "/tasks?q=nothing-has-this", "/tasks/" + failed, "/tasks/" + good, "/orders", "/orders/" + order, "/stock", "/queues",
		"/schedules", "/schedules/nightly", "/dead", "/workers", "/alerts",
	}
}

// Each page says what there is, as text whatever that is, refers to nothing that is not
// here, has nothing written into it that a browser would run, and is small.
func TestPages(t *testing.T) {
	o, paths := furnished(t)
	assets := 0
	for _, a := range dashboard.Assets() {
		assets += len(a.Data)
	}
	shown := 0
	for _, path := range paths {
		page := o.open(path)
		if len(page)+assets > 100<<10 {
			t.Errorf("%s has %d KiB, with all it loads", path, (len(page)+assets)>>10)
		}
		tree, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		checkPage(t, path, tree)
		shown += strings.Count(page, html.EscapeString(`<script>alert(`))
	}
	if shown < 10 {
		t.Errorf("what is evil is shown %d times only", shown)
	}
	for path := range dashboard.Assets() {
		resp, err := o.client.Get(o.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", path, resp.StatusCode, resp.Header)
		}
	}
}

// checkPage looks at everything on a page: what it refers to, what a browser would run,
// and whether each field has a label.
func checkPage(t *testing.T, path string, n *html.Node) {
	t.Helper()
	if n.Type == html.ElementNode {
		attributes := map[string]string{}
		for _, a := range n.Attr {
			attributes[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: <%s> has %s=%q", path, n.Data, a.Key, a.Val)
			}
			if a.Key == "href" || a.Key == "src" || a.Key == "action" {
				if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "//") {
					t.Errorf("%s: <%s> refers to %q", path, n.Data, a.Val)
				}
			}
		}
		switch n.Data {
		case "script":
			if n.FirstChild != nil || !strings.HasPrefix(attributes["src"], "/assets/") {
				t.Errorf("%s: a script: %v", path, n.Attr)
			}
		case "style", "iframe", "object", "embed", "base":
			t.Errorf("%s: <%s>", path, n.Data)
		case "img":
			t.Errorf("%s: an image: %v", path, n.Attr)
		case "input", "select", "textarea":
			if attributes["type"] != "hidden" && attributes["aria-label"] == "" && !inside(n, "label") {
				t.Errorf("%s: <%s name=%q> has no label", path, n.Data, attributes["name"])
			}
		case "button", "a", "th", "summary", "h1", "h2", "label":
			if strings.TrimSpace(textOf(n)) == "" && attributes["aria-label"] == "" && !(n.Data == "th" && attributes["scope"] == "col") {
				t.Errorf("%s: <%s> says nothing", path, n.Data)
			}
		case "form":
			if attributes["method"] == "post" && attributes["action"] != "/theme" && !hasToken(n) {
				t.Errorf("%s: the form %s has no token", path, attributes["action"])
			}
		}
	}
	for c := range n.ChildNodes() {
		checkPage(t, path, c)
	}
}

func inside(n *html.Node, tag string) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Data == tag {
			return true
		}
	}
	return false
}

func textOf(n *html.Node) (text string) {
	if n.Type == html.TextNode {
		return n.Data
	}
	for _, a := range n.Attr {
		if a.Key == "aria-label" {
			text += a.Val
		}
	}
	for c := range n.ChildNodes() {
		text += textOf(c)
	}
	return text
}

func hasToken(n *html.Node) bool {
	for c := range n.Descendants() {
		for _, a := range c.Attr {
			if a.Key == "name" && a.Val == "token" {
				return true
			}
		}
	}
	return false
}

// A form that was not given out to this browser does nothing, nor does one that a page
// from elsewhere sends.
func TestFormsFromElsewhere(t *testing.T) {
	o := newOperator(t)
	token := o.token()
	for name, c := range map[string]struct {
		client *http.Client
		token  string
		origin string
	}{
		"no token":              {o.client, "", ""},
		"another's":             {o.client, strings.Repeat("A", 26), ""},
		"no cookie":             {&http.Client{}, token, ""},
		"a page from elsewhere": {o.client, token, "https://evil.example"},
	} {
		for path := range actions() {
			path = strings.Replace(path, ":id", "default", 1)
			req, err := http.NewRequestWithContext(t.Context(), "POST", o.url+path, strings.NewReader(url.Values{"token": {c.token}, "sure": {"yes"}, "kind": {"a"}}.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			resp, err := c.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %d", name, path, resp.StatusCode)
			}
		}
	}
	if page := o.open("/queues"); strings.Contains(page, ">paused<") {
		t.Error("a queue is paused all the same")
	}
}

// What is done on the pages is done, and said once; what cannot be undone is asked for.
func TestActions(t *testing.T) {
	o, _ := furnished(t)
	o.shows(o.send("/queues/bulk/pause"), "Queue bulk is paused", ">paused<")
	if page := o.open("/queues"); strings.Contains(page, "Queue bulk is paused") {
		t.Error("it is said twice")
	}
	_, waiting := o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"a","queue":"bulk"}`)
	o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"b","queue":"bulk"}`)
	o.shows(o.send("/queues/bulk/purge", "confirm", "2"), "Cancel the 2 tasks that wait in queue bulk?", "Yes, do it")
	o.ask(http.StatusOK, "DELETE", "/v1/tasks/"+waiting["id"].(string), "")
	o.shows(o.send("/queues/bulk/purge", "confirm", "2", "sure", "yes"), "Nothing was removed.")
	o.shows(o.send("/queues/bulk/purge", "confirm", "1", "sure", "yes"), "1 tasks of queue bulk are cancelled.")
	o.shows(o.send("/queues/bulk/resume"), "open again")
	o.shows(o.send("/queues/nope/pause"), "queue nope: not found", "wrong")

	o.shows(o.send("/kinds/pause", "kind", "mail.send"), "Tasks of the kind mail.send are put off", "<td>mail.send</td>")
	o.shows(o.send("/kinds/resume", "kind", "mail.send"), "No kind is paused.")
	o.shows(o.send("/limits", "do", "set", "limits", "kind:mail.*=20,100/s\nqueue:bulk=5\n"), "in force", "kind:mail.*=20,100/s\nqueue:bulk=5\n")
	o.shows(o.send("/limits", "do", "set", "limits", "nonsense"), "wrong")
	o.shows(o.send("/limits", "do", "clear"), "configuration")

	id := o.submit(`{"kind":"test.fail","args":{"good":false}}`)
	o.shows(o.open("/tasks/"+id), "Retry with these", "unexpected EOF")
	o.shows(o.send("/tasks/"+id+"/redrive", "args", "{nonsense"), "The args are not JSON.")
	o.shows(o.send("/tasks/"+id+"/redrive", "args", `{"good":true}`), "is tried again, with these args")
	_, task := o.ask(http.StatusOK, "GET", "/v1/tasks/"+id+"?wait=30s", "")
	if task["state"] != "succeeded" {
		t.Errorf("it was tried again, and is %v", task["state"])
	}
	o.shows(o.send("/tasks/"+id+"/cancel", "sure", "yes"), "cannot be cancelled")

	_, later := o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"test.fail","delay":"2h","tags":["late"]}`)
	o.shows(o.send("/tasks", "do", "cancel", "id", later["id"].(string)), "Cancel the 1 chosen tasks?")
	o.shows(o.send("/tasks", "do", "cancel", "id", later["id"].(string), "sure", "yes"), "1 task is cancelled.")
	for range 3 {
		o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"test.fail","delay":"2h","tags":["many"]}`)
	}
	o.shows(o.send("/tasks", "do", "cancel-all", "filter", "tag=many", "sure", "yes"), "3 tasks are cancelled.")
	o.shows(o.send("/tasks", "do", "redrive"), "No task is chosen.")

	o.shows(o.send("/schedules/nightly/run"), "It runs now, as task")
	o.shows(o.send("/schedules/nightly/pause"), "is paused", ">paused<")
	o.shows(o.send("/schedules/nightly/resume"), "on again")
	o.shows(o.send("/schedules/nightly/cancel"), "Cancel schedule nightly")
	o.shows(o.send("/schedules/nightly/cancel", "sure", "yes"), "Schedule nightly is cancelled.")

	o.shows(o.send("/stock", "sku", "71053", "delta", "3", "reason", "delivery"), "wrong") // it is not tracked
	o.ask(http.StatusOK, "PUT", "/v1/stock/71053", `{"on_hand":5}`)
	o.shows(o.send("/stock", "sku", "71053", "delta", "-2", "reason", "broken"), "71053: 3 on hand, 3 available.", ">71053<")

	order := o.buy("o-1", "71053", 2)
	o.shows(o.open("/orders/o-1"), "awaiting payment", "5.00 GBP")
	o.shows(o.send("/orders/o-1/payment", "reference", "ch_1", "amount", "500", "currency", "GBP"), "The payment of 5.00 GBP is recorded.", "ch_1")
	o.shows(o.send("/orders/o-1/fulfil"), "Order o-1 is fulfilled.")
	o.shows(o.send("/orders/o-1/cancel", "reason", "late", "sure", "yes"), "not possible")
	_ = order

	o.submit(`{"kind":"test.fail","args":{"good":false}}`)
	o.submit(`{"kind":"test.fail","args":{"good":false}}`)
	o.shows(o.open("/dead"), "unexpected EOF", "Retry these")
	o.shows(o.send("/dead", "do", "redrive", "kind", "test.fail", "error", "unexpected"), "2 dead tasks are tried again.")
	o.shows(o.send("/dead", "do", "discard", "filter", "kind=test.evil"), "Discard 1 dead tasks for good?", `name="confirm" value="1"`)
	o.shows(o.send("/dead", "do", "discard", "filter", "kind=test.evil", "confirm", "1", "sure", "yes"), "1 dead tasks are discarded.")

	_, workers := o.ask(http.StatusOK, "GET", "/v1/workers", "")
	worker := workers["workers"].([]any)[0].(map[string]any)["id"].(string)
	o.shows(o.send("/workers/"+worker+"/quiet"), "takes no new tasks")
	o.shows(o.send("/workers/"+worker+"/resume"), "takes tasks again")
	o.shows(o.send("/workers/"+worker+"/stop"), "Stop worker")
}

// A page that is watched comes when it is opened, and again when something has changed.
func TestLivePages(t *testing.T) {
	o := newOperator(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := func(page string) *http.Response {
		req, err := http.NewRequestWithContext(ctx, "GET", o.url+"/live?page="+url.QueryEscape(page), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := o.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := watch("/tasks?state=scheduled")
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	until := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("%q never came: %v", text, lines.Err())
	}
	until("No task matches.")
	_, task := o.ask(http.StatusAccepted, "POST", "/v1/tasks", `{"kind":"test.later","delay":"1h"}`)
	until("task-" + task["id"].(string))
	for _, page := range []string{"/v1/tasks", "//elsewhere", "https://elsewhere/", "/live?page=/", "tasks", ""} {
		resp := watch(page)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("page=%s: %d", page, resp.StatusCode)
		}
	}
}

// What is not there, or is asked for wrongly, is told as the API tells it, on a page.
func TestPagesOfWhatIsNotThere(t *testing.T) {
	o := newOperator(t)
	for path, want := range map[string]int{
		"/tasks/nope": 404, "/orders/nope": 404, "/schedules/nope": 404, "/tasks?state=bogus": 422, "/tasks?since=yesterday": 422, "/tasks/" + url.PathEscape(evil): 422,
		"/orders?after=x": 422,
	} {
		page := o.read(want, func() (*http.Response, error) { return o.client.Get(o.url + path) })
		o.shows(page, "Back")
	}
	// A form that is sent with nothing in it asks for everything.
	o.shows(o.open("/tasks?state=&queue=&kind=&tag=&error=&since=&q="), "There are no tasks yet")
	o.open("/tasks?since=2026-11-23T09:00")
}

// The colours are the reader's choice, and only a path of ours is gone back to.
func TestTheme(t *testing.T) {
	o := newOperator(t)
	for back, want := range map[string]string{"/tasks?state=failed": "/tasks", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/"} {
		resp, err := o.client.PostForm(o.url+"/theme", url.Values{"theme": {"dark"}, "back": {back}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Request.URL.Path != want || resp.Request.URL.Host != strings.TrimPrefix(o.url, "http://") {
			t.Errorf("from %s to %s", back, resp.Request.URL)
		}
	}
	o.shows(o.open("/"), `data-theme="dark"`)
}

// A key is made on a page, shown there and nowhere else, and closes the door; whoever
// signs in with it sees what was done, and can revoke it.
func TestKeysPage(t *testing.T) {
	o := newOperator(t)
	o.shows(o.open("/keys"), "There are no keys")
	o.shows(o.read(http.StatusUnprocessableEntity, func() (*http.Response, error) {
		return o.client.PostForm(o.url+"/keys", url.Values{"token": {o.token()}, "name": {"boss"}})
	}), "scopes")
	page := o.send("/keys", "name", "boss", "scope", "admin", "expires_in", "24h", "rate", "100")
	key := regexp.MustCompile(`mr_[a-z0-9]+_[a-z0-9]+`).FindString(page)
	if key == "" {
		t.Fatalf("no key is shown:\n%s", page)
	}
	login := o.open("/keys")
	o.shows(login, `action="/login"`)
	o.shows(o.read(http.StatusOK, func() (*http.Response, error) {
		return o.client.PostForm(o.url+"/login", url.Values{"key": {key}, "token": {tokenOf(t, login)}})
	}), "Overview")
	page = o.open("/keys")
	o.shows(page, "boss", "100/s", "Revoke")
	if strings.Contains(page, key) {
		t.Error("the key is shown again")
	}
	prefix := strings.Split(key, "_")[1]
	o.shows(o.send("/queues/bulk/pause"), "Queue bulk is paused")
	o.shows(o.open("/audit"), "create-key", "pause-queue", "boss", "/v1/queues/bulk/pause")
	o.shows(o.open("/audit?who="+prefix), "pause-queue")
	o.shows(o.send("/keys/"+prefix+"/revoke"), "Revoke key "+prefix)
}
