package gateway

import (
	"errors"
	"net/http"
	"strconv"

	"millrace"
	"millrace/gateway/dashboard"
)

// keysData is for the page of keys. Made is one that has just been made: it is shown on
// the answer to its form, and kept nowhere.
type keysData struct {
	Keys   []keyView
	Scopes []millrace.Scope
	Made   *madeKey
	Token  string
}

type madeKey struct{ Name, Key string }

func keysPage(v *visit) (dashboard.Page, error) { return v.keys(nil) }

func (v *visit) keys(made *madeKey) (dashboard.Page, error) {
	var found listKeysOutput
	if err := v.get("/v1/keys", &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := keysData{found.Body.Keys, millrace.Scopes(), made, v.token()}
	return dashboard.Page{Template: "keys", Title: "Keys", Nav: "Keys", Data: data}, nil
}

// makeKey makes a key, and shows it on the page that it answers with. Who made the first
// one without a key is not let in any more: then that is all that is shown.
func makeKeyFrom(f *form) (dashboard.Page, error) {
	body := map[string]any{"name": f.value("name"), "scopes": f.chosenOf("scope")}
	if expires := f.value("expires_in"); expires != "" {
		body["expires_in"] = expires
	}
	for _, name := range []string{"rate", "in_flight"} {
		if text := f.value(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return dashboard.Page{}, &answered{Title: "Not valid", Status: http.StatusUnprocessableEntity, Detail: "The limits are whole numbers."}
			}
			body[name] = n
		}
	}
	var made struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	if err := f.call("POST", "/v1/keys", body, &made); err != nil {
		return dashboard.Page{}, err
	}
	page, err := f.keys(&madeKey{made.Name, made.Key})
	if _, refused := errors.AsType[*answered](err); refused {
		data := keysData{Made: &madeKey{made.Name, made.Key}, Scopes: millrace.Scopes()}
		return dashboard.Page{Template: "keys", Title: "Keys", Nav: "Keys", Data: data}, nil
	}
	return page, err
}

func auditPage(v *visit) (dashboard.Page, error) {
	var found listAuditOutput
	q := v.query()
	if err := v.get("/v1/audit"+forAPI(q), &found.Body); err != nil {
		return dashboard.Page{}, err
	}
	data := struct {
		listData
		Page any
	}{v.list("/audit", q, found.Body.NextCursor), found.Body}
	return dashboard.Page{Template: "audit", Title: "Audit", Nav: "Audit", Data: data}, nil
}
