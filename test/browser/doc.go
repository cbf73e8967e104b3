// Package browser tries the dashboard in a browser, against the program itself. It is a
// module of its own, since what drives a browser is large and nothing else needs it.
package browser
