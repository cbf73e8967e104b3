package gateway

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// creates is true in the Metadata of an operation that answers with 201 instead of
// 200 if it made something.
const creates = "creates"

// describeStatuses adds to the description the statuses that huma cannot know of.
func describeStatuses(op *huma.Operation) {
	if op.Metadata[creates] == true {
		made := *op.Responses["200"]
		made.Description = http.StatusText(http.StatusCreated)
		made.Content = map[string]*huma.MediaType{}
		for name, media := range op.Responses["200"].Content {
			made.Content[name] = &huma.MediaType{Schema: media.Schema}
		}
		op.Responses["201"] = &made
	}
	for _, p := range op.Parameters {
		if p.In == "header" && p.Name == "If-None-Match" {
			op.Responses["304"] = &huma.Response{Description: http.StatusText(http.StatusNotModified)}
		}
	}
}
