package orders

import (
	"fmt"
	"strings"

	"millrace"
)

// Violation is one thing that is wrong with what was sent, most often a placement.
type Violation struct {
	// Location is where, as the API's problems say it: "body.items[3].quantity".
	Location string `json:"location"`
	// Message says what is wrong, to whoever keeps the shop.
	Message string `json:"message"`
}

// Violations are all that is wrong with what was sent, in the order of its fields.
// As an error they are a [millrace.ErrInvalid].
type Violations []Violation

// shownViolations is how many of them the text of the error names.
const shownViolations = 3

// Error is one line for people; the violations themselves tell the rest.
func (v Violations) Error() string {
	var b strings.Builder
	b.WriteString("this cannot be taken")
	for i, one := range v[:min(len(v), shownViolations)] {
		b.WriteString([]string{": ", "; "}[min(i, 1)])
		b.WriteString(one.Location + ": " + one.Message)
	}
	if more := len(v) - shownViolations; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}

// Unwrap gives [millrace.ErrInvalid].
func (v Violations) Unwrap() error { return millrace.ErrInvalid }

func (v *Violations) add(location, format string, args ...any) {
	*v = append(*v, Violation{location, fmt.Sprintf(format, args...)})
}
