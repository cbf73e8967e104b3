package streams

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// The names on the broker. Queues and ids are single tokens and a kind's dots
// become dashes, so that a task's subject always has four: a filter with one
// wildcard then finds an id among a million in microseconds, where a filter
// that could match at several depths would walk them all.
const (
	deadStream      = "DEAD"
	resultsBucket   = "results"
	claimsBucket    = "claims"
	ordersBucket    = "orders"
	schedulesBucket = "schedules"
	consumerName    = "workers"
	moversName      = "movers"
)

// scheduleStreams is how many streams share the schedules: a synced one fires
// 2,000 a second. It must never change, or what waits would not be found.
const scheduleStreams = 4

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

// shardOf is the number of the schedule stream that an id or a name belongs to.
func shardOf(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % scheduleStreams)
}

func scheduleStream(shard int) string { return "SCHEDULES_" + strconv.Itoa(shard) }

// waitingSubject is where a task waits for its time, and dueSubject where it is
// when that has come.
func waitingSubject(id string) string { return scheduleSubject("schedules", "task", id) }

func dueSubject(id string) string { return scheduleSubject("due", "task", id) }

// dueFilter matches all that is due in a shard.
func dueFilter(shard int) string { return "due." + strconv.Itoa(shard) + ".>" }

// armedSubject is where the next due time of a named schedule waits, and
// firedSubject where it is when that has come.
func armedSubject(name string) string { return scheduleSubject("schedules", "named", name) }

func firedSubject(name string) string { return scheduleSubject("due", "named", name) }

func scheduleSubject(stage, what, id string) string {
	return stage + "." + strconv.Itoa(shardOf(id)) + "." + what + "." + id
}

func kindToken(kind string) string { return strings.ReplaceAll(kind, ".", "-") }
