package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var update = flag.Bool("update", false, "write the pictures in docs/img")

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// chromium is the browser's path. Without one a test is skipped, unless
// MILLRACE_BROWSER=required.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("MILLRACE_BROWSER") == "required" {
		t.Fatal("there is no browser: install Debian's chromium")
	}
	t.Skip("the dashboard is not tried in a browser, since there is none: install Debian's chromium")
	return ""
}

// program is the command, built once.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "millrace-browser")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "millrace")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/millrace")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build millrace: %w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if path, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// node is a running program.
type node struct {
	t   *testing.T
	url string
}

var apiAddress = regexp.MustCompile(`API +(http://[0-9.]+:\d+)`)

func startNode(t *testing.T, args ...string) node {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"dev", "--listen", "127.0.0.1:0", "--nats-port", "off", "--fulfil", "hand", "--data-dir", t.TempDir()}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := apiAddress.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	select {
	case url := <-found:
		return node{t, url}
	case <-ended:
		t.Fatal("the node ended")
	case <-time.After(patience):
		t.Fatal("the node does not say where its API is")
	}
	return node{}
}

// ask asks the API for something.
func (n node) ask(method, path, body string) map[string]any {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode >= 400 {
		n.t.Fatalf("%s %s: %d %v %v", method, path, resp.StatusCode, answer, err)
	}
	return answer
}

func (n node) submit(body string) string {
	n.t.Helper()
	return n.ask("POST", "/v1/tasks", body)["id"].(string)
}

// reader is somebody with a browser, who must not be told of anything wrong, nor be sent
// elsewhere.
type reader struct {
	node
	ctx context.Context
}

func (n node) reader(options ...chromedp.ExecAllocatorOption) reader {
	n.t.Helper()
	all := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(n.t)), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 860), chromedp.Env("TMPDIR="+n.t.TempDir()))
	ctx, stop := chromedp.NewExecAllocator(context.Background(), append(all, options...)...)
	n.t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	n.t.Cleanup(stop)
	r := reader{n, ctx}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, n.url+"/") && !strings.HasPrefix(e.Request.URL, "data:") && e.Request.URL != "about:blank" {
				n.t.Errorf("a page asked for %s", e.Request.URL)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				n.t.Errorf("the browser says: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			n.t.Errorf("the script failed: %s", e.ExceptionDetails.Text)
		}
	}); err != nil {
		n.t.Fatal(err)
	}
	tell(r, network.Enable, network.EnableParams{})
	tell(r, log.Enable, cdp.Empty{})
	tell(r, runtime.Enable, cdp.Empty{})
	return r
}

func (r reader) does(actions ...chromedp.Action[chromedp.Void]) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		text, _ := chromedp.Run(r.ctx, chromedp.Evaluate[string](`document.body.innerText`))
		r.t.Fatalf("%v\n%s", err, text)
	}
}

// tells is what an expression comes to on the page.
func tells[T any](r reader, expression string) T {
	r.t.Helper()
	value, err := chromedp.Run(r.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		r.t.Fatal(err)
	}
	return value
}

// tell sends the browser a command.
func tell[P, R any](r reader, command cdp.Command[P, R], params P) {
	r.t.Helper()
	if _, err := chromedp.Call(r.ctx, command, params); err != nil {
		r.t.Fatal(err)
	}
}

// opens opens a page, and waits until it is live.
func (r reader) opens(path string) {
	r.t.Helper()
	r.does(chromedp.Navigate(r.url+path), chromedp.WaitVisible(".live.on"))
}

// sees waits until an element has a text in it, without a reload by us. It asks again and
// again, since a page that is being left cannot answer.
func (r reader) sees(element, text string) {
	r.t.Helper()
	query := fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))`, element, text)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		if seen, err := chromedp.Run(r.ctx, chromedp.Evaluate[bool](query)); err == nil && seen {
			return
		}
	}
	all, _ := chromedp.Run(r.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	r.t.Fatalf("%s does not say %q:\n%s", element, text, all)
}

// presses presses a button, by what stands on it, within an element. One that the page
// replaced by a newer one before it was pressed is looked for again.
func (r reader) presses(within, label string) {
	r.t.Helper()
	press := chromedp.Click(fmt.Sprintf(`//*[%s]//button[normalize-space()=%q]`, within, label))
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, press)
	for err != nil && strings.Contains(err.Error(), "Could not find node") && ctx.Err() == nil {
		err = chromedp.Do(ctx, press)
	}
	if err != nil {
		r.t.Fatalf("press %s: %v", label, err)
	}
}

// types puts a text into a field.
func (r reader) types(field, text string) {
	r.t.Helper()
	r.does(chromedp.SetValue(field, text))
}

// pictured takes a picture for the documentation, if that is asked for.
func (r reader) pictured(name string) {
	r.t.Helper()
	if !*update {
		return
	}
	picture, err := chromedp.Run(r.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("../../docs/img", name+".png"), picture, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// A task appears, runs and fails before one's eyes, and is tried again with other args.
func TestTaskLive(t *testing.T) {
	n := startNode(t)
	r := n.reader()
	r.opens("/tasks")
	id := n.submit(`{"kind":"demo.fail","args":{"times":9},"max_attempts":2,"backoff":{"policy":"fixed","delay":"1s"},"tags":["invoice"]}`)
	r.sees("#task-"+id, "retrying")
	r.sees("#task-"+id, "failed")
	r.does(chromedp.Click("#task-" + id + " a"))
	r.sees("#timeline", "Attempt 2 failed")
	r.pictured("task")
	r.types("textarea[name=args]", `{"times": 0}`)
	r.presses(`@class="columns"`, "Retry with these")
	r.sees(".said", "is tried again, with these args")
	r.sees("#state", "succeeded")
	r.sees("#timeline", "Brought back 1 time")
	sleeper := n.submit(`{"kind":"demo.sleep","args":{"ms":600000}}`)
	r.opens("/tasks/" + sleeper)
	r.sees("#timeline", "Now")
	r.presses(`@id="actions"`, "Cancel")
	r.sees("h2", "Cancel task "+sleeper)
	r.presses(`@class="panel"`, "Yes, do it")
	r.sees("#state", "cancelled")
}

func TestQueuesAndSchedules(t *testing.T) {
	n := startNode(t)
	n.ask("PUT", "/v1/schedules/nightly", `{"kind":"demo.echo","args":{"report":"sales"},"cron":"0 3 * * *","zone":"Europe/Berlin"}`)
	r := n.reader()
	r.opens("/queues")
	r.presses(`@id="queue-bulk"`, "Pause")
	r.sees("#queue-bulk", "paused")
	n.submit(`{"kind":"demo.echo","queue":"bulk"}`)
	r.sees("#queue-bulk td.number", "1")
	r.pictured("queues")
	r.presses(`@id="queue-bulk"`, "Resume")
	r.sees("#queue-bulk", "open")
	r.sees("#queue-bulk td.number", "0")

	r.opens("/schedules")
	r.presses(`@id="schedule-nightly"`, "Run now")
	r.sees(".said", "It runs now, as task")
	r.sees("#history", "by hand")
	r.sees("#history", "succeeded")
	r.pictured("schedule")
}

// An order is followed from its being placed until its goods have left.
func TestOrderLive(t *testing.T) {
	n := startNode(t)
	r := n.reader()
	r.opens("/orders")
	n.ask("POST", "/v1/orders", `{"order_id":"o-1001","reference":"1001","customer_id":"17850","currency":"GBP","items":[
		{"sku":"85123A","description":"WHITE HANGING HEART T-LIGHT HOLDER","quantity":6,"unit_price_minor":255},
		{"sku":"71053","description":"WHITE METAL LANTERN","quantity":6,"unit_price_minor":339}]}`)
	r.sees("#order-o-1001", "awaiting_payment")
	r.does(chromedp.Click("#order-o-1001 a"))
	r.sees(".diagram .now", "awaiting payment")
	r.types("input[name=reference]", "ch_3PqX")
	r.presses(`@class="body stacked"`, "Record payment of 35.64 GBP")
	r.sees(".diagram .now", "paid")
	r.pictured("order")
	r.presses(`@class="body stacked"`, "The goods have left")
	r.sees(".diagram .now", "fulfilled")
}

// What somebody else's page looks like to most: dark, on a phone, or without a script.
func TestEveryoneCanRead(t *testing.T) {
	n := startNode(t)
	long := strings.Repeat("long-", 12)
	n.submit(`{"kind":"demo.fail","args":{"times":9},"max_attempts":1,"tags":["` + long + `"]}`)
	dead := n.submit(`{"kind":"demo.fail","args":{"times":9,"why":"` + long + long + `"},"max_attempts":1}`)
	n.ask("GET", "/v1/tasks/"+dead+"?wait=20s", "")
	n.ask("POST", "/v1/orders", `{"order_id":"o-1","reference":"`+long+`","customer_id":"1","currency":"GBP","items":[{"sku":"a","quantity":1,"unit_price_minor":255}]}`)
	n.ask("GET", "/v1/tasks/o-1-placed?wait=20s", "")
	n.ask("PUT", "/v1/schedules/nightly", `{"kind":"demo.echo","cron":"0 3 * * *"}`)
	paths := []string{"/", "/tasks", "/tasks/" + dead, "/orders", "/orders/o-1", "/stock", "/queues", "/schedules", "/schedules/nightly", "/dead", "/workers"}

	t.Run("dark", func(t *testing.T) {
		r := node{t, n.url}.reader()
		r.opens("/")
		r.pictured("overview")
		r.presses(`@class="bar"`, "Dark")
		r.sees("button", "Light")
		background := tells[string](r, `getComputedStyle(document.body).backgroundColor`)
		if background != "rgb(18, 22, 28)" {
			t.Errorf("the page is %s", background)
		}
		r.pictured("overview-dark")
	})
	t.Run("on a phone", func(t *testing.T) {
		r := node{t, n.url}.reader()
		tell(r, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 1, Mobile: true})
		for _, path := range paths {
			r.opens(path)
			if tells[bool](r, `document.documentElement.scrollWidth > innerWidth`) {
				t.Errorf("%s is wider than a phone", path)
			}
		}
		r.opens("/tasks")
		r.pictured("tasks-phone")
	})
	t.Run("without a script", func(t *testing.T) {
		r := node{t, n.url}.reader()
		tell(r, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		for _, path := range paths {
			r.does(chromedp.Navigate(n.url+path), chromedp.WaitVisible("main h1"))
		}
		r.does(chromedp.Navigate(n.url + "/queues"))
		r.presses(`@id="queue-bulk"`, "Pause")
		r.does(chromedp.WaitVisible(`//div[contains(@class,"said")][contains(.,"Queue bulk is paused")]`))
	})
}

// What is submitted elsewhere while a field has the focus does not take it away, and rows
// that are chosen stay chosen.
func TestLiveLeavesAlone(t *testing.T) {
	n := startNode(t)
	first := n.submit(`{"kind":"demo.echo","delay":"1h"}`)
	r := n.reader()
	r.opens("/tasks")
	r.sees("#task-"+first, "scheduled")
	r.does(chromedp.Click(fmt.Sprintf(`input[value=%q]`, first)), chromedp.SetValue("input[name=q]", "half a wor"), chromedp.Focus("input[name=q]"))
	second := n.submit(`{"kind":"demo.echo","delay":"1h"}`)
	r.sees("#task-"+second, "scheduled")
	chosen := tells[bool](r, fmt.Sprintf(`document.querySelector('input[value=%q]').checked`, first))
	typed, focus := tells[string](r, `document.querySelector("input[name=q]").value`), tells[string](r, `document.activeElement.name`)
	if !chosen || typed != "half a wor" || focus != "q" {
		t.Errorf("chosen %t, typed %q, focus on %q", chosen, typed, focus)
	}
	r.presses(`@action="/tasks"`, "Cancel chosen")
	r.sees("h2", "Cancel the 1 chosen tasks?")
	r.presses(`@class="panel"`, "Yes, do it")
	r.sees(".said", "1 task is cancelled.")
	r.sees("#task-"+first, "cancelled")
}

// Where there are keys, the pages are behind a sign-in.
func TestSignIn(t *testing.T) {
	const key = "mr_operator01_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, "--admin-key-file", file)
	r := n.reader()
	r.does(chromedp.Navigate(n.url+"/queues"), chromedp.WaitVisible("input[name=key]"))
	r.pictured("sign-in")
	r.types("input[name=key]", key)
	r.presses(`@class="panel"`, "Sign in")
	r.sees("h1", "Queues")
	r.sees(".live", "live")
	r.presses(`@id="queue-bulk"`, "Pause")
	r.sees("#queue-bulk", "paused")
	r.does(chromedp.Navigate(n.url + "/audit"))
	r.sees("main", "pause-queue")
	r.pictured("audit")
	r.presses(`@class="bar"`, "Sign out")
	r.sees("h2", "Sign in")
}
