package gateway

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// jsonView is the part of a JSON value that its reader wants to see: what a
// schema speaks about, or all, or, as the zero value, nothing.
type jsonView struct {
	schema  *huma.Schema
	schemas huma.Registry // for the schemas that schema refers to
	all     bool
}

// unseen stands in a tree for what its view does not show.
type unseen struct{}

// viewOf returns what huma.Validate looks at, given s. Where it compares values
// or has alternatives it may look anywhere.
func viewOf(s *huma.Schema, schemas huma.Registry) jsonView {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case s.OneOf != nil, s.AnyOf != nil, s.AllOf != nil, s.Not != nil, s.Enum != nil, s.Const != nil, s.UniqueItems:
		return jsonView{all: true}
	case s.Type == "":
		return jsonView{}
	default:
		return jsonView{schema: s, schemas: schemas}
	}
}

func (v jsonView) empty() bool { return !v.all && v.schema == nil }

// member is the view of what an object has under key.
func (v jsonView) member(key string) jsonView {
	if v.schema == nil {
		return v
	}
	if s, known := v.schema.Properties[key]; known {
		return viewOf(s, v.schemas)
	}
	if s, ok := v.schema.AdditionalProperties.(*huma.Schema); ok {
		return viewOf(s, v.schemas)
	}
	return jsonView{}
}

// item is the view of an array's items.
func (v jsonView) item() jsonView {
	if v.schema == nil {
		return v
	}
	if v.schema.Items == nil {
		return jsonView{}
	}
	return viewOf(v.schema.Items, v.schemas)
}

// treeKey is key as a tree has it: without the characters by which huma finds
// its way back from a member, since a key that has one would spoil the location
// of every violation behind it. No property of ours does.
func treeKey(key string) string {
	if !strings.ContainsAny(key, ".["+keyEscape) {
		return key
	}
	return strings.NewReplacer(keyEscape, keyEscape+"0", ".", keyEscape+"1", "[", keyEscape+"2").Replace(key)
}

// shownLocation undoes treeKey in a location.
func shownLocation(location string) string {
	return strings.NewReplacer(keyEscape+"0", keyEscape, keyEscape+"1", ".", keyEscape+"2", "[").Replace(location)
}

const keyEscape = "\uE000" // for private use: whoever has it in a key loses nothing
