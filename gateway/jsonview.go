package gateway

import "github.com/danielgtaylor/huma/v2"

// jsonView is the part of a JSON value that its reader wants to see: what a
// schema speaks about, or all, or, as the zero value, nothing.
type jsonView struct {
	schema  *huma.Schema
	schemas huma.Registry // for the schemas that schema refers to
	all     bool
}

// unseen stands in a tree for what its view does not show.
type unseen struct{}

// viewOf returns what huma.Validate looks at, given s. A schema of alternatives
// may look anywhere.
func viewOf(s *huma.Schema, schemas huma.Registry) jsonView {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case s.OneOf != nil, s.AnyOf != nil, s.AllOf != nil, s.Not != nil:
		return jsonView{all: true}
	case s.Type == "" && len(s.Enum) == 0 && s.Const == nil:
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
