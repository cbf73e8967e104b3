package gateway

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

func TestDocsNeedNothingFromElsewhere(t *testing.T) {
	app, _ := sampleAPI(t)
	get := func(path, encoding string) (*http.Response, string) {
		t.Helper()
		request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		request.Header.Set("Accept-Encoding", encoding)
		response, err := app.Test(request, -1)
		if err != nil {
			t.Fatal(err)
		}
		body := io.Reader(response.Body)
		if response.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s %v", path, response.Status, response.Header)
		}
		return response, string(text)
	}
	page, html := get("/docs", "")
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; ") || strings.Contains(policy, "http") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is %s", policy)
	}
	if page.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("it is %s", page.Header.Get("Content-Type"))
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1)
	if len(links) != 4 {
		t.Errorf("links are %v", links)
	}
	for _, link := range links {
		if !strings.HasPrefix(link[1], "/docs/") {
			t.Errorf("%s is elsewhere", link[1])
		}
		_, plain := get(link[1], "")
		compressed, unpacked := get(link[1], "gzip, br")
		if plain != unpacked || len(plain) < 100 {
			t.Errorf("%s: %d bytes, %d unpacked", link[1], len(plain), len(unpacked))
		}
		if strings.Contains(link[1], "bundle") && compressed.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not sent compressed", link[1])
		}
	}
	if strings.Contains(html, "<script>") || strings.Contains(html, "style=") {
		t.Error("the page has something inline that its policy forbids")
	}
}

func TestDescription(t *testing.T) {
	app, a := sampleAPI(t)
	registerSample(a, acceptSample)
	register(a, huma.Operation{OperationID: "raw", Method: http.MethodPost, Path: "/raw"}, func(context.Context, *struct {
		Body    sampleBody
		RawBody []byte
	},
	) (*struct{}, error) {
		return nil, nil
	})
	response, err := app.Test(httptest.NewRequest(http.MethodGet, "/openapi.json", http.NoBody), -1)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct {
					Schema map[string]any
				}
			}
			RequestBody struct{ Content map[string]any }
		}
		Components struct {
			Schemas map[string]struct {
				Properties           map[string]map[string]any
				AdditionalProperties any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Info.Title != "Millrace" || doc.Info.Version != "test" {
		t.Errorf("it is %s, %+v", doc.OpenAPI, doc.Info)
	}
	submit := doc.Paths["/v1/tasks"]["post"]
	if got := submit.Responses["default"].Content[mediaProblem].Schema["$ref"]; got != "#/components/schemas/Problem" {
		t.Errorf("errors are %v", got)
	}
	for _, path := range []string{"/v1/tasks", "/raw"} {
		if takes := doc.Paths[path]["post"].RequestBody.Content; len(takes) != 1 || takes[mediaJSON] == nil {
			t.Errorf("%s takes %v", path, takes)
		}
	}
	schemas := doc.Components.Schemas
	if _, found := schemas["Violation"]; !found || len(doc.Paths) != 2 {
		t.Errorf("schemas are %v, paths are %v", schemas, doc.Paths)
	}
	body := schemas["SampleBody"]
	if args, found := body.Properties["args"]; !found || args["type"] != nil || body.AdditionalProperties != false {
		t.Errorf("the body is %+v", body)
	}
}
