package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"millrace"
)

// mediaMerge is a body of RFC 7396: what it has replaces what is there, and null removes
// it.
const mediaMerge = "application/merge-patch+json"

type patchScheduleInput struct {
	Name    string `path:"name" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	IfMatch string `header:"If-Match" doc:"The ETag that the schedule must have still; any, if it is left out or *."`
	RawBody []byte
}

// schedulePatch changes some fields of a schedule. What comes of it is checked as if all of it
// had been sent.
type schedulePatch struct {
	schema  *huma.Schema
	schemas huma.Registry
}

func newSchedulePatch() *schedulePatch {
	schemas := huma.NewMapRegistry(schemaPrefix, schemaName) // its own: what is sent is only a part
	return &schedulePatch{schemas.Schema(reflect.TypeFor[scheduleBody](), false, ""), schemas}
}

// body describes what is sent: each field may be left out, and all but the kind be null.
func (p *schedulePatch) body() *huma.RequestBody {
	schema := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: false, Properties: map[string]*huma.Schema{}}
	for name, field := range p.schema.Properties {
		f := *field
		switch {
		case f.Ref != "":
			f = huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true, Description: field.Description}
		case name != "kind" && f.Type != "":
			f.Nullable = true
		}
		schema.Properties[name] = &f
	}
	return &huma.RequestBody{
		Required: true, Description: "A JSON merge patch (RFC 7396): what it has replaces what is there, objects field by field, and null removes it.",
		Content: map[string]*huma.MediaType{mediaMerge: {Schema: schema}, mediaJSON: {Schema: schema}},
	}
}

func (p *schedulePatch) change(g *Gateway) func(context.Context, *patchScheduleInput) (*scheduleOutput, error) {
	return func(ctx context.Context, in *patchScheduleInput) (*scheduleOutput, error) {
		version, err := versionIn(in.IfMatch)
		if err != nil {
			return nil, refusedFor("header.If-Match", err)
		}
		if err := p.check(in.RawBody); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, workTime)
		defer cancel()
		e, err := g.book.Change(ctx, in.Name, version, func(s millrace.Schedule) (millrace.Schedule, error) {
			s, err := p.apply(s, in.RawBody)
			if err == nil && s.Queue != "" {
				if err := g.store.CheckQueue(s.Queue); err != nil {
					return s, refusedFor("body.queue", err)
				}
			}
			return s, err
		})
		if err != nil {
			return nil, scheduleMissing(in.Name, err)
		}
		return g.showSchedule(ctx, http.StatusOK, e)
	}
}

// check refuses what is no patch of a schedule, whatever that says.
func (p *schedulePatch) check(patch []byte) error {
	tree, err := readJSON(patch, jsonView{schema: &huma.Schema{Type: huma.TypeObject}, schemas: p.schemas})
	if bad, ok := errors.AsType[*jsonError](err); ok {
		refused := newProblem(http.StatusBadRequest, "The body is not JSON as it must be. See errors.")
		refused.Errors = []*huma.ErrorDetail{{Location: bad.location, Message: fmt.Sprintf("%s, at byte %d", bad.message, bad.offset)}}
		return refused
	}
	if err != nil {
		return err
	}
	members, ok := tree.(map[any]any)
	if !ok {
		return invalidBody(&huma.ErrorDetail{Location: "body", Message: "must be an object with the fields that are to change"})
	}
	var unknown []error
	for key := range members {
		if name := key.(string); p.schema.Properties[name] == nil {
			unknown = append(unknown, &huma.ErrorDetail{Location: "body." + name, Message: "unexpected property"})
		}
	}
	if len(unknown) > 0 {
		return invalidBody(unknown...)
	}
	return nil
}

// apply returns s as the patch wants it.
func (p *schedulePatch) apply(s millrace.Schedule, patch []byte) (millrace.Schedule, error) {
	before, err := json.Marshal(scheduleBody{fieldsOf(s)}, asTagged)
	if err != nil {
		return s, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	merged, err := mergePatch(before, patch)
	if err != nil {
		return s, fmt.Errorf("schedule %s: %w", s.Name, err)
	}
	tree, err := readJSON(merged, viewOf(p.schema, p.schemas))
	if err != nil {
		return s, fmt.Errorf("%w: %w", millrace.ErrInvalid, err) // it was strict in parts, and may be nested too deep now
	}
	found := &huma.ValidateResult{}
	huma.Validate(p.schemas, p.schema, huma.NewPathBuffer([]byte("body"), 4), huma.ModeWriteToServer, tree, found)
	if len(found.Errors) > 0 {
		return s, invalidBody(found.Errors...)
	}
	var body scheduleBody
	if err := decodeChecked(merged, &body); err != nil {
		return s, fmt.Errorf("%w: %w", millrace.ErrInvalid, err)
	}
	changed, violations := body.schedule(s.Name)
	if len(violations) > 0 {
		return s, invalidBody(violations...)
	}
	return changed, nil
}

// invalidBody is what huma would answer, for a body that it does not read.
func invalidBody(violations ...error) error {
	p := newProblem(http.StatusUnprocessableEntity, "The request does not fit what the API describes. See errors.")
	p.Type, p.Title = problemType("invalid"), "Not valid"
	for _, err := range violations {
		if d, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			p.Errors = append(p.Errors, d)
		}
	}
	return p
}

// mergePatch is the algorithm of RFC 7396, on texts, so that numbers stay as they are.
func mergePatch(target, patch jsontext.Value) (jsontext.Value, error) {
	if patch.Kind() != jsontext.KindBeginObject {
		return patch, nil
	}
	into, changes := map[string]jsontext.Value{}, map[string]jsontext.Value{}
	if target.Kind() == jsontext.KindBeginObject {
		if err := json.Unmarshal(target, &into); err != nil {
			return nil, err
		}
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, err
	}
	for name, change := range changes {
		if change.Kind() == jsontext.KindNull {
			delete(into, name)
			continue
		}
		merged, err := mergePatch(into[name], change)
		if err != nil {
			return nil, err
		}
		into[name] = merged
	}
	return json.Marshal(into, json.Deterministic(true))
}
