package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"millrace"
	"millrace/gateway/dashboard"
)

// action is what a form of a page does. It asks the API for it, and says what came of it
// on the page that it came from.
type action struct {
	// question is asked before, since what is done cannot be undone. Nil if it can.
	question func(f *form) string
	do       func(f *form) (said string, err error)
	back     func(f *form) string
	// shows is what it answers with, instead of a page that says what it has done.
	shows func(f *form) (dashboard.Page, error)
}

// form is what somebody has sent off.
type form struct {
	*visit
	id string // which is in its path
}

func (f *form) value(name string) string { return strings.TrimSpace(f.http.FormValue(name)) }

// call asks the API for something.
func (f *form) call(method, path string, body, out any) error {
	return f.ask(method, path, body, out)
}

// path is a path of the API, with the id of the form.
func (f *form) path(format string) string { return fmt.Sprintf(format, url.PathEscape(f.id)) }

func (g *Gateway) act(a action) fiber.Handler {
	return func(c *fiber.Ctx) error {
		f := &form{visit: &visit{g: g, http: c}, id: strings.Clone(c.Params("id"))}
		if err := f.checkSender(); err != nil {
			return err
		}
		if a.shows != nil {
			return g.page(func(*visit) (dashboard.Page, error) { return a.shows(f) })(c)
		}
		back := ownPath(a.back(f))
		if a.question != nil && f.value("sure") != "yes" {
			if question := a.question(f); question != "" {
				return f.confirm(question, back)
			}
		}
		said, err := a.do(f)
		if p, ok := errors.AsType[*answered](err); ok {
			said = "!" + p.Error()
			if p.Detail != p.Error() {
				said = "!" + p.Detail + " " + p.Error()
			}
		} else if err != nil {
			return err
		}
		c.Cookie(&fiber.Cookie{Name: saidCookie, Value: url.QueryEscape(clipBytes(said, 600)), Path: "/", MaxAge: 30, SameSite: "Strict", HTTPOnly: true})
		return c.Redirect(back, http.StatusSeeOther)
	}
}

func clipBytes(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// confirm asks whether that is meant. The form is sent again with the answer.
func (f *form) confirm(question, back string) error {
	type field struct{ Name, Value string }
	data := struct {
		Question, Action, Back string
		Fields                 []field
	}{Question: question, Action: string(f.http.Request().URI().Path()), Back: back}
	for name, value := range f.http.Request().PostArgs().All() {
		data.Fields = append(data.Fields, field{string(name), string(value)})
	}
	return f.send(http.StatusOK, dashboard.Page{Template: "confirm", Title: "Sure?", Data: data})
}

func actions() map[string]action {
	to := func(path string) func(*form) string { return func(*form) string { return path } }
	task := func(f *form) string { return "/tasks/" + url.PathEscape(f.id) }
	order := func(f *form) string { return "/orders/" + url.PathEscape(f.id) }
	schedule := func(f *form) string { return "/schedules/" + url.PathEscape(f.id) }
	// simple is an action that takes nothing but its path.
	simple := func(method, path, said string, back func(*form) string) action {
		return action{do: func(f *form) (string, error) {
			return fmt.Sprintf(said, f.id), f.call(method, f.path(path), nil, nil)
		}, back: back}
	}
	sure := func(a action, question string) action {
		a.question = func(f *form) string { return fmt.Sprintf(question, f.id) }
		return a
	}
	return map[string]action{
		"/tasks":             {question: askMany, do: actOnMany, back: tasksOf},
		"/tasks/:id/cancel":  sure(simple("DELETE", "/v1/tasks/%s", "Task %s is cancelled.", task), "Cancel task %s?"),
		"/tasks/:id/redrive": {do: redriveOne, back: task},
		"/tasks/:id/discard": sure(simple("DELETE", "/v1/dead/%s", "Task %s is discarded.", to("/dead")), "Discard task %s for good?"),

		"/dead": {question: askDead, do: actOnDead, back: func(f *form) string { return "/dead" + withQuery(f.value("filter")) }},

		"/orders/:id/payment": {do: recordPayment, back: order},
		"/orders/:id/cancel": {do: func(f *form) (string, error) {
			return "The order is cancelled.", f.call("POST", f.path("/v1/orders/%s/cancel"), map[string]string{"reason": f.value("reason")}, nil)
		}, back: order, question: func(f *form) string { return "Cancel order " + f.id + "?" }},
		"/orders/:id/fulfil": simple("POST", "/v1/orders/%s/fulfil", "Order %s is fulfilled.", order),
		"/stock":             {do: adjustFrom, back: func(f *form) string { return "/stock?after=" + url.QueryEscape(before(f.value("sku"))) }},

		"/queues/:id/pause":  simple("POST", "/v1/queues/%s/pause", "Queue %s is paused: it takes tasks in, and none begins.", to("/queues")),
		"/queues/:id/resume": simple("POST", "/v1/queues/%s/resume", "Queue %s is open again.", to("/queues")),
		"/queues/:id/purge": {question: func(f *form) string {
			return "Cancel the " + f.value("confirm") + " tasks that wait in queue " + f.id + "?"
		}, do: purge, back: to("/queues")},
		"/kinds/pause":  {do: func(f *form) (string, error) { return onKind(f, "pause", "Tasks of the kind %s are put off.") }, back: to("/queues")},
		"/kinds/resume": {do: func(f *form) (string, error) { return onKind(f, "resume", "Tasks of the kind %s run again.") }, back: to("/queues")},
		"/limits":       {do: setLimits, back: to("/queues")},

		"/schedules/:id/run":    {do: runNow, back: schedule},
		"/schedules/:id/pause":  simple("POST", "/v1/schedules/%s/pause", "Schedule %s is paused.", schedule),
		"/schedules/:id/resume": simple("POST", "/v1/schedules/%s/resume", "Schedule %s is on again.", schedule),
		"/schedules/:id/cancel": sure(simple("DELETE", "/v1/schedules/%s", "Schedule %s is cancelled.", to("/schedules")), "Cancel schedule %s, with its history?"),

		"/keys":            {shows: makeKeyFrom, back: to("/keys")},
		"/keys/:id/revoke": sure(simple("DELETE", "/v1/keys/%s", "Key %s is revoked.", to("/keys")), "Revoke key %s? Whoever uses it is refused from then on."),

		"/workers/:id/quiet":  simple("POST", "/v1/workers/%s/quiet", "Worker %s takes no new tasks.", to("/workers")),
		"/workers/:id/resume": simple("POST", "/v1/workers/%s/resume", "Worker %s takes tasks again.", to("/workers")),
		"/workers/:id/stop":   sure(simple("POST", "/v1/workers/%s/stop", "Worker %s is stopping.", to("/workers")), "Stop worker %s? It does not come back by itself."),
	}
}

func redriveOne(f *form) (string, error) {
	args, err := argsOf(f.value("args"))
	if err != nil {
		return "", err
	}
	body := map[string]json.RawMessage{}
	said := "Task " + f.id + " is tried again."
	if args != nil {
		body["args"], said = args, "Task "+f.id+" is tried again, with these args."
	}
	return said, f.call("POST", f.path("/v1/dead/%s/redrive"), body, nil)
}

func recordPayment(f *form) (string, error) {
	amount, err := strconv.ParseInt(f.value("amount"), 10, 64)
	if err != nil {
		return "", &answered{Detail: "The amount is no number.", Status: 422}
	}
	body := map[string]any{"reference": f.value("reference"), "amount_minor": amount, "currency": f.value("currency")}
	return "The payment of " + dashboard.Money(amount, f.value("currency")) + " is recorded.", f.call("POST", f.path("/v1/orders/%s/payment"), body, nil)
}

func adjustFrom(f *form) (string, error) {
	delta, err := strconv.ParseInt(f.value("delta"), 10, 64)
	if err != nil {
		return "", &answered{Detail: "The change is no whole number.", Status: 422}
	}
	sku := f.value("sku")
	var s stockView
	err = f.call("POST", "/v1/stock/"+url.PathEscape(sku)+"/adjust", map[string]any{"delta": delta, "reason": f.value("reason")}, &s)
	return fmt.Sprintf("%s: %d on hand, %d available.", sku, s.OnHand, s.Available), err
}

// before is a place just before a SKU in the list.
func before(sku string) string {
	if sku == "" {
		return ""
	}
	last := sku[len(sku)-1]
	return sku[:len(sku)-1] + string(rune(max(last, 33)-1))
}

func purge(f *form) (string, error) {
	var out purgeQueueOutput
	err := f.call("POST", f.path("/v1/queues/%s/purge")+"?confirm="+url.QueryEscape(f.value("confirm")), nil, &out.Body)
	said := fmt.Sprintf("%d tasks of queue %s are cancelled.", out.Body.Purged, f.id)
	if out.Body.Left > 0 {
		said += fmt.Sprintf(" %d are left: purge again.", out.Body.Left)
	}
	return said, err
}

func onKind(f *form, what, said string) (string, error) {
	kind := f.value("kind")
	return fmt.Sprintf(said, kind), f.call("POST", "/v1/kinds/"+url.PathEscape(kind)+"/"+what, nil, nil)
}

func setLimits(f *form) (string, error) {
	if f.value("do") == "clear" {
		return "Each process has the limits of its configuration again.", f.call("DELETE", "/v1/limits", nil, nil)
	}
	limits := []limitBody{}
	for line := range strings.Lines(f.value("limits")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		l, err := millrace.ParseLimit(line)
		if err != nil {
			return "", &answered{Detail: err.Error(), Status: 422}
		}
		body := limitBody{Scope: string(l.Scope), Match: l.Match, Concurrency: l.Concurrency}
		if !l.Rate.IsZero() {
			body.Rate = l.Rate.String()
		}
		limits = append(limits, body)
	}
	return "These limits are in force, for all processes.", f.call("PUT", "/v1/limits", map[string]any{"limits": limits}, nil)
}

func runNow(f *form) (string, error) {
	var task acceptedTask
	err := f.call("POST", f.path("/v1/schedules/%s/run"), nil, &task)
	return "It runs now, as task " + task.ID + ".", err
}

// withQuery is "?" and the query, if there is one.
func withQuery(q string) string {
	if q == "" {
		return ""
	}
	return "?" + q
}

func tasksOf(f *form) string { return "/tasks" + withQuery(f.value("filter")) }

// chosen are the tasks whose rows were chosen.
func (f *form) chosen() []string { return f.chosenOf("id") }

func (f *form) chosenOf(name string) (all []string) {
	for _, value := range f.http.Request().PostArgs().PeekMulti(name) {
		all = append(all, string(value))
	}
	return all
}

func askMany(f *form) string {
	switch f.value("do") {
	case "cancel":
		if n := len(f.chosen()); n > 0 {
			return fmt.Sprintf("Cancel the %d chosen tasks?", n)
		}
	case "cancel-all":
		if f.value("filter") == "" {
			return "Cancel every task that is not finished?"
		}
		return "Cancel all tasks that match and are not finished?"
	}
	return ""
}

// manyTime is how long one form is at work; the rest needs another.
const manyTime = 8 * time.Second

// actOnMany cancels or redrives the tasks that are chosen, or all that match the filter.
func actOnMany(f *form) (string, error) {
	do, all := strings.CutSuffix(f.value("do"), "-all")
	one, word := f.cancelOne, "cancelled"
	if do == "redrive" {
		one, word = f.redrive, "tried again"
	}
	done, refused, more := 0, 0, false
	ids := f.chosen()
	if !all && len(ids) == 0 {
		return "", &answered{Detail: "No task is chosen.", Status: 422}
	}
	run := func(ids []string) error {
		for _, id := range ids {
			err := one(id)
			if p, ok := errors.AsType[*answered](err); ok && p.Status < http.StatusInternalServerError {
				refused++
				continue
			}
			if err != nil {
				return err
			}
			done++
		}
		return nil
	}
	var err error
	if all {
		more, err = f.eachPage(do, run)
	} else {
		err = run(ids)
	}
	said := fmt.Sprintf("%d tasks are %s.", done, word)
	if done == 1 {
		said = "1 task is " + word + "."
	}
	if refused > 0 {
		said += fmt.Sprintf(" %d were not: they are finished, or not among the dead.", refused)
	}
	if more {
		said += " There are more: do it again."
	}
	return said, err
}

func (f *form) cancelOne(id string) error {
	return f.call("DELETE", "/v1/tasks/"+url.PathEscape(id), nil, nil)
}

func (f *form) redrive(id string) error {
	return f.call("POST", "/v1/dead/"+url.PathEscape(id)+"/redrive", map[string]any{}, nil)
}

// eachPage goes through what matches the filter of the form, as far as time allows.
func (f *form) eachPage(do string, run func(ids []string) error) (more bool, err error) {
	q, err := url.ParseQuery(f.value("filter"))
	if err != nil {
		return false, &answered{Detail: "The filter cannot be read.", Status: 422}
	}
	q.Del("after")
	q.Set("limit", "200")
	if do == "redrive" {
		q.Set("state", string(millrace.Failed))
	}
	for end := time.Now().Add(manyTime); ; {
		var page listTasksOutput
		if err := f.get("/v1/tasks"+forAPI(q), &page.Body); err != nil {
			return false, err
		}
		var ids []string
		for _, t := range page.Body.Tasks {
			if do == "redrive" || !t.State.Final() {
				ids = append(ids, t.ID)
			}
		}
		if err := run(ids); err != nil {
			return true, err
		}
		if page.Body.NextCursor == "" {
			return false, nil
		}
		if time.Now().After(end) {
			return true, nil
		}
		q.Set("after", page.Body.NextCursor)
	}
}

// deadFilter is which dead tasks a form means, as the API takes it.
func (f *form) deadFilter() map[string]any {
	body := map[string]any{}
	q, _ := url.ParseQuery(forAPIFilter(f.value("filter")))
	for _, name := range []string{"queue", "kind", "error", "since", "until"} {
		if value := q.Get(name); value != "" {
			body[name] = value
		}
		if value := f.value(name); value != "" {
			body[name] = value
		}
	}
	if len(body) == 0 {
		body["all"] = true
	}
	return body
}

func forAPIFilter(filter string) string {
	q, err := url.ParseQuery(filter)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(forAPI(q), "?")
}

func askDead(f *form) string {
	if f.value("do") != "discard" {
		return ""
	}
	// How many that are is said by what refuses a wrong number. It goes with the answer,
	// so nothing is discarded that came meanwhile.
	body := f.deadFilter()
	body["confirm"] = 0
	p, ok := errors.AsType[*answered](f.call("POST", "/v1/dead/discard", body, nil))
	if !ok || p.Count == nil {
		return ""
	}
	f.http.Request().PostArgs().Set("confirm", strconv.FormatUint(*p.Count, 10))
	return fmt.Sprintf("Discard %d dead tasks for good?", *p.Count)
}

func actOnDead(f *form) (string, error) {
	body := f.deadFilter()
	if f.value("do") == "discard" {
		n, _ := strconv.Atoi(f.value("confirm"))
		body["confirm"] = n
		return fmt.Sprintf("%d dead tasks are discarded.", n), f.call("POST", "/v1/dead/discard", body, nil)
	}
	done := 0
	body["limit"], body["rate"] = 1000, 1000
	for end := time.Now().Add(manyTime); ; {
		var out redriveAllOutput
		if err := f.call("POST", "/v1/dead/redrive", body, &out.Body); err != nil {
			return "", err
		}
		done += out.Body.Redriven
		if out.Body.NextCursor == "" {
			return fmt.Sprintf("%d dead tasks are tried again.", done), nil
		}
		if time.Now().After(end) {
			return fmt.Sprintf("%d dead tasks are tried again. There are more: do it again.", done), nil
		}
		body["after"] = out.Body.NextCursor
	}
}
