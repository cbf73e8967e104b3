// Package dashboard renders the pages for operators: HTML from what the API answers.
//
// It knows neither HTTP nor the store: the gateway asks its own API, and gives what that
// answers to [Render]. Start reading at templates/layout.html; assets/live.js is all that
// runs in a browser, and everything works without it.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"maps"
	"path"
	"strings"
	"sync"
)

//go:embed templates assets
var files embed.FS

// Policy is the Content-Security-Policy of each page: only what this process serves, and
// nothing that is written into a page.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Link is a page in the bar at the top.
type Link struct{ Name, Path string }

// Links are the pages, in their order.
func Links() []Link {
	return []Link{
		{"Overview", "/"},
		{"Tasks", "/tasks"},
		{"Orders", "/orders"},
		{"Stock", "/stock"},
		{"Queues", "/queues"},
		{"Schedules", "/schedules"},
		{"Dead letters", "/dead"},
		{"Workers", "/workers"},
		{"Alerts", "/alerts"},
		{"Keys", "/keys"},
		{"Audit", "/audit"},
	}
}

// Said is what an action has done, told on the next page.
type Said struct {
	Text  string
	Wrong bool // it has not done what it should
}

// Page is what is around the content of a page.
type Page struct {
	// Template is the name of the content's template, without its ending.
	Template string
	// Data is for that template.
	Data any
	// Title is the page's, and Nav the name of the [Link] that leads to it.
	Title, Nav string
	// Here is the page's path with its query.
	Here string
	// Theme is "light", "dark", or empty for what the system says.
	Theme string
	// Version is of the process.
	Version string
	// SignedIn is the name of the key that was signed in with, and Token what the form to
	// sign out has to bring along. Both are empty where nobody has to.
	SignedIn, Token string
	// Looks says that whoever is signed in may look and not change anything.
	Looks bool
	Said  *Said
	// Live says that the page is kept as it is on the server.
	Live bool
}

// Pages is for the layout.
func (p Page) Pages() []Link { return Links() }

// Content renders the part of a page that changes.
func (p Page) Content() (template.HTML, error) {
	var out bytes.Buffer
	if err := templates().ExecuteTemplate(&out, p.Template+".html", p.Data); err != nil {
		return "", fmt.Errorf("page %s: %w", p.Template, err)
	}
	return template.HTML(out.String()), nil //nolint:gosec // html/template has escaped it
}

// Render writes a whole page.
func Render(w io.Writer, p Page) error {
	if err := templates().ExecuteTemplate(w, "layout.html", p); err != nil {
		return fmt.Errorf("page %s: %w", p.Template, err)
	}
	return nil
}

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(functions()).ParseFS(files, "templates/*.html"))
})

// Asset is a file that pages refer to. Its path has a hash of what it holds, so it can be
// kept for ever.
type Asset struct {
	Path, Media string
	Data        []byte
}

// Assets returns all of them, by their paths.
func Assets() map[string]Asset { return maps.Clone(assets().byPath) }

type assetIndex struct {
	byPath map[string]Asset
	byName map[string]string
}

var assets = sync.OnceValue(func() assetIndex {
	index := assetIndex{map[string]Asset{}, map[string]string{}}
	media := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // they are in the binary
	}
	for _, entry := range entries {
		data, err := files.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(data)
		ending := path.Ext(entry.Name())
		where := "/assets/" + strings.TrimSuffix(entry.Name(), ending) + "-" + hex.EncodeToString(sum[:6]) + ending
		index.byPath[where] = Asset{where, media[ending], data}
		index.byName[entry.Name()] = where
	}
	return index
})
