package gateway

import (
	"fmt"
	"strings"
)

// listedProblem is a problem as the documentation lists it.
type listedProblem struct {
	slug   string // of its type; empty for about:blank, where the status says it all
	status int    // that it comes with
	means  string // what it means, and what to do
}

// listedProblems are all that the API answers with, in the order of their status: the
// description and docs/api.md have them, and a test looks for those that are missing.
func listedProblems() []listedProblem {
	return []listedProblem{
		{"", 400, "The request is not well-formed HTTP, or its body is not JSON as it must be. Mend it: `errors` says where."},
		{"webhook-not-verified", 401, "The signature of a webhook is missing, wrong, or too old. Compare the secrets and the clocks."},
		{"key-needed", 401, "There was no key, or none that is good now. Send one as `Authorization: Bearer mr_…`."},
		{"scope-missing", 403, "The key does not allow this: `detail` says which scope it needs."},
		{"host-not-local", 403, "While there are no keys, requests have to be for this machine. Make a key, or use 127.0.0.1 or localhost."},
		{"", 403, "A page from another origin may not do this. Call from a program, or from the same origin."},
		{"not-found", 404, "There is no such thing, and was not as far as is remembered."},
		{"webhook-not-configured", 404, "This server has no secret to verify webhooks with. Give it one with `--payment-webhook-secret-file`."},
		{"", 404, "There is nothing at this path."},
		{"", 405, "The path does not take this method. `Allow` has those that it takes."},
		{"", 408, "The request did not arrive in time. Send it again."},
		{"conflict", 409, "It goes against something that is there already; the detail says what."},
		{"count-differs", 409, "There are not as many as were confirmed, and nothing was removed. `count` says how many there are: confirm that."},
		{"declared", 409, "It is declared in the configuration file. Change it there."},
		{"finished", 409, "The task has succeeded or failed already, and cannot be cancelled. `state` says which."},
		{"key-in-use", 409, "A request with this Idempotency-Key is being worked on. Send it again for its answer."},
		{"not-dead", 409, "The task is not dead. `state` says what it is."},
		{"order-state", 409, "The order is in a state in which this is not possible. `state` says which."},
		{"unique-key", 409, "There is a task with this unique key already. `state` says where it stands."},
		{"webhook-replayed", 409, "This very delivery was answered before. Sign each delivery anew."},
		{"gone", 410, "It was there, and is not kept any more."},
		{"changed", 412, "It is not as If-Match says. Look at it again, and decide anew."},
		{"", 413, "The body, or a line of it, is larger than this server takes. `--max-body` and `--max-bulk-mb` say how large."},
		{"", 415, "The body has an encoding or a Content-Type that is not taken; the detail says which is."},
		{"invalid", 422, "Something in the request is not valid. `errors` says what, where, and what it must be."},
		{"key-reused", 422, "This Idempotency-Key was used with another body. Use a new key for a new request."},
		{"", 431, "The URL and the headers are larger than this server takes."},
		{"too-many-requests", 429, "The key has a limit, and this is beyond it; or there were too many wrong keys. Come again after `Retry-After`."},
		{"", 500, "Something went wrong on our side. The log has it under the `instance` of the answer."},
		{"draining", 503, "The queue lets nothing in until it is resumed. Nothing was stored."},
		{"not-ready", 503, "The process cannot take work; the detail says why."},
		{"queue-full", 503, "The queue has no room. Nothing was stored. Come again after `Retry-After`."},
		{"stopping", 503, "This process is stopping. Ask another, or this one after `Retry-After`."},
		{"too-many-streams", 503, "As many streams are open as there may be. Come again after `Retry-After`, or ask another process."},
		{"unavailable", 503, "The broker does not answer. Come again after `Retry-After`, with the same id or key."},
		{"timeout", 504, "The answer did not come in time; what was asked for may be done. Ask again with the same id or key."},
		{"no-room", 507, "The broker has no room for what is to be made."},
	}
}

// problemTable is that as Markdown.
func problemTable() string {
	var b strings.Builder
	b.WriteString("| status | type | what it means |\n| --- | --- | --- |\n")
	for _, p := range listedProblems() {
		kind := "about:blank"
		if p.slug != "" {
			kind = problemType(p.slug)
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s |\n", p.status, kind, p.means)
	}
	return b.String()
}

// describedProblems is what the description begins with.
func describedProblems() string {
	return "Every error is a problem (RFC 9457), of media type application/problem+json. Tell them apart by `type`.\n\n" + problemTable()
}
