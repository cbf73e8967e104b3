package millrace

import (
	"path"
	"strings"
)

// Route sends the kinds that match a glob to a queue.
type Route struct {
	// Kinds is a glob over the whole kind, where "*" matches any run of
	// characters, dots included: "mail.*", "*.export", "*".
	Kinds string `json:"kinds"`
	Queue string `json:"queue"`
}

// ParseRoute reads a route as configuration spells it: "mail.*=bulk".
func ParseRoute(s string) (Route, error) {
	glob, queue, ok := strings.Cut(s, "=")
	if !ok {
		return Route{}, invalid("route %q must be of the form KINDS=QUEUE, as in \"mail.*=bulk\"", s)
	}
	r := Route{Kinds: glob, Queue: queue}
	return r, r.Validate()
}

// Validate says what is wrong with the route, or returns nil.
func (r Route) Validate() error {
	if _, err := path.Match(r.Kinds, ""); err != nil || r.Kinds == "" {
		return invalid("route %q: %q is no glob", r, r.Kinds)
	}
	return ValidateQueue(r.Queue)
}

// String spells the route as [ParseRoute] reads it.
func (r Route) String() string { return r.Kinds + "=" + r.Queue }

// RouteTo returns the queue of the first route that matches kind, else
// [DefaultQueue].
func RouteTo(routes []Route, kind string) string {
	for _, r := range routes {
		if ok, err := path.Match(r.Kinds, kind); ok && err == nil {
			return r.Queue
		}
	}
	return DefaultQueue
}
