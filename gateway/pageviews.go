package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"millrace"
	"millrace/gateway/dashboard"
	"millrace/orders"
)

// overviewData is what one looks at first.
type overviewData struct {
	Pending, InFlight, Busy, Places, Workers int
	Bytes                                    int64
	Oldest                                   *time.Time
	Dead                                     bool
	DeadText                                 string
	Queues                                   []queueView
	Failed                                   []listedDead
	Running                                  []shownRunning
	Window                                   string
	Windows                                  []string
	Charts                                   []shownChart
	Alerts                                   []alertView
	Disk                                     *diskView
	Taken                                    int // percent of the disk
}

// shownRunning is a task that runs, and where.
type shownRunning struct {
	runningTaskView
	Worker string
}

const (
	shownFailed  = 6
	shownOldest  = 8
	countedDead  = 100
	groupedDead  = 200
	errorToGroup = 80 // characters of an error that say what it is
)

func overviewPage(v *visit) (dashboard.Page, error) {
	var (
		queues  listQueuesOutput
		workers listWorkersOutput
		dead    listDeadOutput
		stats   statsView
		alerts  listAlertsOutput
		d       = overviewData{Window: chartWindow(v.query().Get("window")), Windows: chartWindows}
	)
	for path, out := range map[string]any{
		"/v1/stats?window=" + d.Window: &stats, "/v1/alerts": &alerts.Body,
		"/v1/queues": &queues.Body, "/v1/workers": &workers.Body, fmt.Sprintf("/v1/dead?limit=%d", countedDead): &dead.Body,
	} {
		if err := v.get(path, out); err != nil {
			return dashboard.Page{}, err
		}
	}
	d.Charts, d.Alerts, d.Disk = chartsOf(stats), alerts.Body.Active, stats.Disk
	if d.Disk != nil && d.Disk.Size > 0 {
		d.Taken = int(100 * d.Disk.Used / d.Disk.Size)
	}
	d.Queues = queues.Body.Queues
	for _, q := range d.Queues {
		d.Pending, d.InFlight, d.Bytes = d.Pending+int(q.Pending), d.InFlight+q.InFlight, d.Bytes+q.Bytes
		if q.OldestAt != nil && (d.Oldest == nil || q.OldestAt.Before(*d.Oldest)) {
			d.Oldest = q.OldestAt
		}
	}
	for _, w := range workers.Body.Workers {
		d.Workers, d.Busy, d.Places = d.Workers+1, d.Busy+w.Busy, d.Places+w.Concurrency
		for _, t := range w.Running {
			d.Running = append(d.Running, shownRunning{t, w.Name})
		}
	}
	slices.SortFunc(d.Running, func(a, b shownRunning) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	d.Running = d.Running[:min(len(d.Running), shownOldest)]
	some := dead.Body.Tasks
	d.Failed, d.Dead, d.DeadText = some[:min(len(some), shownFailed)], len(some) > 0, fmt.Sprint(len(some))
	if dead.Body.NextCursor != "" {
		d.DeadText += "+"
	}
	return dashboard.Page{Template: "overview", Title: "Overview", Nav: "Overview", Live: true, Data: d}, nil
}

// listData is what lists have in common.
type listData struct {
	Query    map[string]string
	Filtered bool
	// Filter is the query without the place in the list, for what is done to all that
	// match.
	Filter, Next, Token string
}

func (v *visit) list(path string, q url.Values, cursor string) listData {
	filter, filtered := without(q, "after")
	return listData{flat(q), filtered, filter.Encode(), next(path, q, cursor), v.token()}
}

func tasksPage(v *visit) (dashboard.Page, error) {
	var found listTasksOutput
	q := v.query()
	if err := v.get("/v1/tasks"+forAPI(q), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page           any
		States, Queues []string
	}{v.list("/tasks", q, found.Body.NextCursor), found.Body, nil, v.g.store.Queues()}
	for _, s := range []millrace.State{
		millrace.Pending, millrace.Scheduled, millrace.Running, millrace.Retrying, millrace.Succeeded, millrace.Failed, millrace.Cancelled,
	} {
		data.States = append(data.States, string(s))
	}
	return dashboard.Page{Template: "tasks", Title: "Tasks", Nav: "Tasks", Live: q.Get("after") == "", Data: data}, nil
}

// taskEvent is what happened to a task: it was tried, or put off.
type taskEvent struct {
	at      time.Time
	Attempt *attemptView
	Wait    *waitView
}

// eventsOf are all of a task, in their order.
func eventsOf(t *taskView) (all []taskEvent) {
	for i := range t.Attempts {
		all = append(all, taskEvent{at: t.Attempts[i].EndedAt, Attempt: &t.Attempts[i]})
	}
	for i := range t.Waits {
		all = append(all, taskEvent{at: t.Waits[i].Since, Wait: &t.Waits[i]})
	}
	slices.SortStableFunc(all, func(a, b taskEvent) int { return a.at.Compare(b.at) })
	return all
}

func taskPage(v *visit) (dashboard.Page, error) {
	id := v.http.Params("id")
	data := struct {
		Task                *taskView
		Events              []taskEvent
		Final, IsDead       bool
		Ended, Order, Token string
	}{Task: &taskView{}, Token: v.token()}
	if err := v.get("/v1/tasks/"+url.PathEscape(id)+"?args=true", data.Task); err != nil {
		return dashboard.Page{}, err
	}
	t := data.Task
	data.Events = eventsOf(t)
	data.Final = t.State.Final()
	if state := string(t.State); data.Final {
		data.Ended = strings.ToUpper(state[:1]) + state[1:]
	}
	if t.State == millrace.Failed {
		data.IsDead = v.get("/v1/dead/"+url.PathEscape(id), &deadView{}) == nil
	}
	if end := strings.LastIndexByte(id, '-'); end > 0 && strings.HasPrefix(t.Kind, "order.") {
		data.Order = id[:end]
	}
	return dashboard.Page{Template: "task", Title: t.Kind + " " + id, Nav: "Tasks", Live: true, Data: data}, nil
}

func ordersPage(v *visit) (dashboard.Page, error) {
	var found listOrdersOutput
	q := v.query()
	if err := v.get("/v1/orders"+forAPI(q), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page   any
		States []orders.State
	}{v.list("/orders", q, found.Body.NextCursor), found.Body, []orders.State{
		orders.AwaitingPayment, orders.Paid, orders.Fulfilled, orders.Rejected, orders.Cancelled, orders.Expired,
	}}
	return dashboard.Page{Template: "orders", Title: "Orders", Nav: "Orders", Live: q.Get("after") == "", Data: data}, nil
}

func orderPage(v *visit) (dashboard.Page, error) {
	id := v.http.Params("id")
	var order orderView
	if err := v.get("/v1/orders/"+url.PathEscape(id), &order); err != nil {
		return dashboard.Page{}, err
	}
	var been []string
	for _, c := range order.History {
		been = append(been, string(c.State))
	}
	data := struct {
		Order     orders.Order
		RefundDue bool
		Diagram   template.HTML
		Token     string
	}{order.Order, order.RefundDue, dashboard.OrderDiagram(string(order.State), been), v.token()}
	return dashboard.Page{Template: "order", Title: "Order " + cmp.Or(order.Reference, id), Nav: "Orders", Live: true, Data: data}, nil
}

func stockPage(v *visit) (dashboard.Page, error) {
	var found listStockOutput
	q := v.query()
	if err := v.get("/v1/stock"+forAPI(q), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page any
	}{v.list("/stock", q, found.Body.NextCursor), found.Body}
	return dashboard.Page{Template: "stock", Title: "Stock", Nav: "Stock", Live: true, Data: data}, nil
}

// shownQueue is a queue, and how many tasks a second come and go, if that is known.
type shownQueue struct {
	queueView
	In, Out float64
	Known   bool
}

// rateMinutes is over how many minutes a rate is told.
const rateMinutes = 5

// rateOf is how many tasks a second came into a queue lately, and how many left it, from
// how it was each minute.
func rateOf(points []statsPoint, queue string) (in, out float64, known bool) {
	var last, first *statsQueue
	var to, from time.Time
	for i := len(points) - 1; i >= 0 && (last == nil || to.Sub(points[i].At) <= rateMinutes*time.Minute); i-- {
		j := slices.IndexFunc(points[i].Queues, func(q statsQueue) bool { return q.Name == queue })
		if j < 0 {
			continue
		}
		if q := &points[i].Queues[j]; last == nil {
			last, to = q, points[i].At
		} else {
			first, from = q, points[i].At
		}
	}
	if first == nil || last.Entered < first.Entered { // it was removed meanwhile, and added again
		return 0, 0, false
	}
	entered := float64(last.Entered - first.Entered)
	stay := float64(last.Pending) + float64(last.InFlight) - float64(first.Pending) - float64(first.InFlight)
	seconds := to.Sub(from).Seconds()
	return entered / seconds, max(0, entered-stay) / seconds, true
}

func queuesPage(v *visit) (dashboard.Page, error) {
	var (
		queues listQueuesOutput
		kinds  listKindsOutput
		limits limitsOutput
		stats  statsView
	)
	for path, out := range map[string]any{"/v1/stats?window=15m": &stats, "/v1/queues": &queues.Body, "/v1/kinds": &kinds.Body, "/v1/limits": &limits.Body} {
		if err := v.get(path, out); err != nil {
			return dashboard.Page{}, err
		}
	}
	var lines strings.Builder
	for _, l := range limits.Body.Limits {
		limit := millrace.Limit{Scope: millrace.LimitScope(l.Scope), Match: l.Match, Concurrency: l.Concurrency}
		limit.Rate, _ = millrace.ParseRate(l.Rate)
		lines.WriteString(limit.String() + "\n")
	}
	shown := make([]shownQueue, len(queues.Body.Queues))
	for i, q := range queues.Body.Queues {
		shown[i].queueView = q
		shown[i].In, shown[i].Out, shown[i].Known = rateOf(stats.Points, q.Name)
	}
	data := struct {
		Queues                []shownQueue
		Kinds                 []kindView
		Limits, Source, Token string
	}{shown, kinds.Body.Kinds, lines.String(), limits.Body.Source, v.token()}
	return dashboard.Page{Template: "queues", Title: "Queues", Nav: "Queues", Live: true, Data: data}, nil
}

func schedulesPage(v *visit) (dashboard.Page, error) {
	var found listSchedulesOutput
	q := v.query()
	if err := v.get("/v1/schedules"+forAPI(q), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page any
	}{v.list("/schedules", q, found.Body.NextCursor), found.Body}
	return dashboard.Page{Template: "schedules", Title: "Schedules", Nav: "Schedules", Live: true, Data: data}, nil
}

func schedulePage(v *visit) (dashboard.Page, error) {
	name := v.http.Params("name")
	var s scheduleView
	if err := v.get("/v1/schedules/"+url.PathEscape(name), &s); err != nil {
		return dashboard.Page{}, err
	}
	runs := slices.Clone(s.History)
	slices.Reverse(runs)
	data := struct {
		Schedule scheduleView
		Runs     []runView
		Token    string
	}{s, runs, v.token()}
	return dashboard.Page{Template: "schedule", Title: "Schedule " + name, Nav: "Schedules", Live: true, Data: data}, nil
}

// deadGroup is dead tasks of a kind that failed in the same way.
type deadGroup struct {
	Kind, Error, Like, Path string
	Count                   int
	Newest                  time.Time
}

// groupDead groups dead tasks, the newest first, by kind and by how their error begins.
func groupDead(all []listedDead) []deadGroup {
	var groups []deadGroup
	for _, d := range all {
		like := likeness(d.Error)
		i := slices.IndexFunc(groups, func(g deadGroup) bool { return g.Kind == d.Kind && g.Like == like })
		if i < 0 {
			i = len(groups)
			path := "/dead?" + url.Values{"kind": {d.Kind}, "error": {like}}.Encode()
			groups = append(groups, deadGroup{Kind: d.Kind, Error: d.Error, Like: like, Path: path, Newest: d.DiedAt})
		}
		groups[i].Count++
	}
	slices.SortStableFunc(groups, func(a, b deadGroup) int { return cmp.Compare(b.Count, a.Count) })
	return groups
}

// likeness is the beginning of an error up to where numbers come, which differ from one
// to the next: a text that can be searched for.
func likeness(text string) string {
	for i, r := range text {
		if r >= '0' && r <= '9' && i >= 8 || r == '\n' || i >= errorToGroup {
			return strings.TrimRight(text[:i], " #:=\"'([{")
		}
	}
	return text
}

func deadPage(v *visit) (dashboard.Page, error) {
	var found listDeadOutput
	q := v.query()
	asked := url.Values{"limit": {fmt.Sprint(groupedDead)}}
	for name, values := range q {
		asked[name] = values
	}
	if err := v.get("/v1/dead"+forAPI(asked), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page   any
		Groups []deadGroup
		Shown  []listedDead
	}{v.list("/dead", q, found.Body.NextCursor), found.Body, groupDead(found.Body.Tasks), found.Body.Tasks}
	return dashboard.Page{Template: "dead", Title: "Dead letters", Nav: "Dead letters", Live: q.Get("after") == "", Data: data}, nil
}

func workersPage(v *visit) (dashboard.Page, error) {
	var found listWorkersOutput
	if err := v.get("/v1/workers", &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		Workers []workerView
		Token   string
	}{found.Body.Workers, v.token()}
	return dashboard.Page{Template: "workers", Title: "Workers", Nav: "Workers", Live: true, Data: data}, nil
}

// argsOf is what a form says of args: any JSON, or nothing.
func argsOf(text string) (json.RawMessage, error) {
	if text = strings.TrimSpace(text); text == "" {
		return nil, nil
	}
	if !json.Valid([]byte(text)) {
		return nil, &answered{Title: "Not valid", Status: 422, Detail: "The args are not JSON."}
	}
	return json.RawMessage(text), nil
}
