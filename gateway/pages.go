package gateway

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"millrace"
	"millrace/gateway/dashboard"
)

// The pages ask the API of this very process, and show what it answers: so both say the
// same, refuse the same, and a page can do nothing that a request could not.

// pageRoutes are the dashboard. They come last, behind all of the API.
func (g *Gateway) pageRoutes() {
	for path, asset := range dashboard.Assets() {
		g.app.Get(path, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, asset.Media)
			c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
			c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
			return c.Send(asset.Data)
		})
	}
	for path, show := range map[string]func(*visit) (dashboard.Page, error){
		"/":                overviewPage,
		"/tasks":           tasksPage,
		"/tasks/:id":       taskPage,
		"/orders":          ordersPage,
		"/orders/:id":      orderPage,
		"/stock":           stockPage,
		"/queues":          queuesPage,
		"/schedules":       schedulesPage,
		"/schedules/:name": schedulePage,
		"/dead":            deadPage,
		"/workers":         workersPage,
		"/keys":            keysPage,
		"/audit":           auditPage,
		"/alerts":          alertsPage,
	} {
		g.app.Get(path, g.guarded(http.MethodGet, path, g.page(show)))
	}
	for path, a := range actions() {
		g.app.Post(path, g.guarded(http.MethodPost, path, g.act(a)))
	}
	g.app.Post("/theme", g.chooseTheme)
	g.app.Get("/login", g.loginPage)
	g.app.Post("/login", g.login)
	g.app.Post("/logout", g.logout)
	g.app.Get("/live", g.guarded(http.MethodGet, "/live", g.live.serve))
}

// visit is a request for a page.
type visit struct {
	g    *Gateway
	http *fiber.Ctx
	made string // the token of its forms, if the browser had none
}

// The cookies of the dashboard. That of forms is random, and no page from elsewhere can
// read it: so whoever sends it back in a form has been given that form by us.
const (
	saidCookie  = "millrace-said"
	themeCookie = "millrace-theme"
	formCookie  = "millrace-form"
)

// token is what each form has to bring along.
func (v *visit) token() string {
	if v.fragment() {
		return "" // it is for many: the script puts in that of its page
	}
	if session := v.visitor().session; session != "" {
		return formToken(session)
	}
	if token := v.http.Cookies(formCookie); len(token) == tokenLength {
		return token
	}
	if v.made == "" {
		v.made = rand.Text()
		v.http.Cookie(&fiber.Cookie{Name: formCookie, Value: v.made, Path: "/", SameSite: "Strict", HTTPOnly: true, Secure: v.g.cfg.secure()})
	}
	return v.made
}

// tokenLength is that of rand.Text.
const tokenLength = 26

// checkSender refuses, as a *problem with status 403, a form that was not given out to
// this browser.
func (v *visit) checkSender() error {
	if err := checkOrigin(v.http.Request()); err != nil {
		return err
	}
	sent, kept := v.http.FormValue("token"), v.http.Cookies(formCookie)
	if session := v.visitor().session; session != "" {
		kept = formToken(session)
	} else if len(kept) != tokenLength {
		kept = ""
	}
	if kept == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(kept)) != 1 {
		return newProblem(http.StatusForbidden, "This form is not of a page that you were shown. Open the page again, and then send it.")
	}
	return nil
}

// page answers with a page.
func (g *Gateway) page(show func(*visit) (dashboard.Page, error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		v := &visit{g: g, http: c}
		p, err := show(v)
		status := http.StatusOK
		if err != nil {
			p, status = v.problemPage(err)
		}
		return v.send(status, p)
	}
}

func (v *visit) send(status int, p dashboard.Page) error {
	c := v.http
	p.Here, p.Version, p.Theme = string(c.Request().URI().RequestURI()), v.g.cfg.Version, v.theme()
	if said, err := url.QueryUnescape(c.Cookies(saidCookie)); err == nil && said != "" && !v.fragment() {
		text, wrong := strings.CutPrefix(said, "!")
		p.Said = &dashboard.Said{Text: text, Wrong: wrong}
		c.ClearCookie(saidCookie)
	}
	if who := v.visitor(); who.session != "" {
		p.SignedIn, p.Token, p.Looks = who.name, v.token(), !millrace.ScopeOperate.Allows(who.scopes)
	}
	var out bytes.Buffer
	if err := dashboard.Render(&out, p); err != nil {
		return err
	}
	c.Status(status)
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	c.Set(fiber.HeaderContentSecurityPolicy, dashboard.Policy)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	return c.Send(out.Bytes())
}

// fragment reports whether the page is for those who watch it, see [live].
func (v *visit) fragment() bool { return v.http.Context().UserValue(watched) != nil }

func (v *visit) theme() string {
	if theme := v.http.Cookies(themeCookie); theme == "dark" || theme == "light" {
		return theme
	}
	return ""
}

// problemPage shows an error as the API tells it.
func (v *visit) problemPage(err error) (dashboard.Page, int) {
	p, ok := errors.AsType[*answered](err)
	if !ok {
		internal := answerer{v.g.cfg.Logger}.problem("page "+v.http.Path(), err)
		p = &answered{Title: internal.Title, Status: internal.Status, Detail: internal.Detail}
	}
	data := struct {
		*answered
		Violations []string
		Back       string
	}{answered: p, Back: "/"}
	for _, e := range p.Errors {
		data.Violations = append(data.Violations, strings.TrimPrefix(e.Location, "query.")+": "+e.Message)
	}
	if at := strings.LastIndexByte(v.http.Path(), '/'); at > 0 {
		data.Back = v.http.Path()[:at]
	} else if v.http.Context().QueryArgs().Len() > 0 {
		data.Back = v.http.Path()
	}
	return dashboard.Page{Template: "problem", Title: p.Title, Data: data}, p.Status
}

// answered is a problem that the API has answered with.
type answered struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Count  *uint64
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error implements error.
func (a *answered) Error() string {
	if len(a.Errors) > 0 {
		return a.Errors[0].Message
	}
	return a.Detail
}

// get asks the API.
func (v *visit) get(path string, out any) error {
	return v.ask(http.MethodGet, path, nil, out)
}

// ask asks the API of this process, as a request from elsewhere would. A body is sent as
// JSON; an answer that is none of success is an *answered.
// What who visits may not do is refused there too.
func (v *visit) ask(method, uri string, body, out any) error {
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.SetRequestURI(uri)
	req.Header.SetHost("dashboard")
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		req.Header.SetContentType(mediaJSON)
		req.SetBody(data)
	}
	var x fasthttp.RequestCtx
	x.Init(&req, nil, nil)
	x.SetUserValue(asked, v.visitor())
	x.SetUserValue(cameFrom, clientAddress(v.http))
	v.g.app.Handler()(&x)
	answer := x.Response.Body()
	if status := x.Response.StatusCode(); status >= http.StatusBadRequest {
		p := &answered{}
		if err := json.Unmarshal(answer, p); err != nil {
			return err
		}
		return p
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// query is what a form asks for, without what it left empty, and with times as the API
// takes them.
func (v *visit) query() url.Values {
	q := url.Values{}
	for name, value := range v.http.Context().QueryArgs().All() {
		if n, text := string(name), strings.TrimSpace(string(value)); text != "" {
			q.Set(n, text)
		}
	}
	return q
}

// forAPI is q as the API takes it: a field of a form has a time without a zone.
func forAPI(q url.Values) string {
	sent := url.Values{}
	for name, values := range q {
		sent[name] = values
		if name != "since" && name != "until" {
			continue
		}
		for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
			if t, err := time.Parse(layout, values[0]); err == nil {
				sent[name] = []string{t.Format(time.RFC3339)}
			}
		}
	}
	if len(sent) == 0 {
		return ""
	}
	return "?" + sent.Encode()
}

// flat is q for a template.
func flat(q url.Values) map[string]string {
	out := map[string]string{}
	for name := range q {
		out[name] = q.Get(name)
	}
	return out
}

// without is q less a name, and whether anything is left.
func without(q url.Values, name string) (url.Values, bool) {
	out := url.Values{}
	for n, values := range q {
		if n != name {
			out[n] = values
		}
	}
	return out, len(out) > 0
}

// next is where the next page is, empty if there is none.
func next(path string, q url.Values, cursor string) string {
	if cursor == "" {
		return ""
	}
	rest, _ := without(q, "after")
	rest.Set("after", cursor)
	return path + "?" + rest.Encode()
}

func (g *Gateway) chooseTheme(c *fiber.Ctx) error {
	if err := checkOrigin(c.Request()); err != nil {
		return err // it needs no token: what could be done with it is to change a colour
	}
	theme := c.FormValue("theme")
	if theme != "dark" {
		theme = "light"
	}
	c.Cookie(&fiber.Cookie{Name: themeCookie, Value: theme, Path: "/", MaxAge: 365 * 24 * 3600, SameSite: "Strict", HTTPOnly: true})
	return c.Redirect(ownPath(c.FormValue("back")), http.StatusSeeOther)
}

// ownPath is a path of ours, whatever somebody else has made of it.
func ownPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, "\\") {
		return "/"
	}
	return path
}
