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
	if _, err := path.Match(glob, ""); err != nil || glob == "" {
		return Route{}, invalid("route %q: %q is no glob", s, glob)
	}
	if err := ValidateQueue(queue); err != nil {
		return Route{}, err
	}
	return Route{Kinds: glob, Queue: queue}, nil
}

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
