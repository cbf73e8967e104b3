// Package millrace holds the words that every other package of Millrace uses:
// what a [Task] is, the [State] it can be in, the [Record] that is kept of it,
// how long to wait before it is tried again ([Backoff]), and the errors that a
// handler returns to say more than "it failed" ([Permanent], [Snooze]).
//
// It knows no broker, no HTTP and no storage. Start reading at task.go, then
// state.go and record.go; docs/architecture.md shows the house around it.
package millrace
