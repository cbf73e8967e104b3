package streams

import (
	"strings"
)

// The names on the broker. Queues and ids are single tokens and a kind's dots
// become dashes, so that a task's subject always has four: a filter with one
// wildcard then finds an id among a million in microseconds, where a filter
// that could match at several depths would walk them all.
const (
	deadStream    = "DEAD"
	resultsBucket = "results"
	claimsBucket  = "claims"
	ordersBucket  = "orders"
	consumerName  = "workers"
)

func taskStream(queue string) string { return "TASKS_" + queue }

func bucketStream(bucket string) string { return "KV_" + bucket }

func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

func recordSubject(id string) string { return bucketSubject(resultsBucket, id) }

func taskSubject(queue, kind, id string) string {
	return "tasks." + queue + "." + kindToken(kind) + "." + id
}

func deadSubject(queue, kind, id string) string {
	return "dead." + queue + "." + kindToken(kind) + "." + id
}

// taskFilter matches the task of that id, whatever its kind.
func taskFilter(queue, id string) string { return "tasks." + queue + ".*." + id }

func kindToken(kind string) string { return strings.ReplaceAll(kind, ".", "-") }
