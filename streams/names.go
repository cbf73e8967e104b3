package streams

import (
	"cmp"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// The names on the broker. Queues and ids are single tokens and a kind's dots
// become dashes, so that a task's subject always has four: a filter with one
// wildcard then finds an id among a million in microseconds, where a filter
// that could match at several depths would walk them all.
const (
	deadStream      = "DEAD"
	resultsBucket   = "results"
	claimsBucket    = "claims"
	uniqueBucket    = "unique"
	ordersBucket    = "orders"
	schedulesBucket = "schedules"
	controlBucket   = "control"
	workersBucket   = "workers"
	keysBucket      = "keys"
	auditStream     = "AUDIT"
	consumerName    = "workers"
	moversName      = "movers"
	heldStream      = "HELD"
	turnStream      = "TURNS"
	turnPrefix      = "turns."
	historyStream   = "HISTORY"
	// turnOver is where it is said that a turn has ended.
	turnOver = "millrace.turn"
)

// feedPrefix is of the events of orders.
const feedPrefix = "order-events."

// scheduleStreams is how many streams share the schedules: a synced one fires
// 2,000 a second. It must never change, or what waits would not be found.
const scheduleStreams = 4

func taskStream(queue string) string { return "TASKS_" + queue }

func bucketStream(bucket string) string { return "KV_" + bucket }

func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// eventSubject is where an event of an order lies in the feed.
func eventSubject(orderID string, number int) string {
	return feedPrefix + orderID + "." + strconv.Itoa(number)
}

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
func shardOf(id string) int { return int(hash(id) % scheduleStreams) }

// drawerOf is which of the 256 drawers of its shard an id is in.
func drawerOf(id string) string { return drawer(int(hash(id) >> 8 & 0xff)) }

// drawer is the number of a drawer as two hexadecimal digits.
func drawer(n int) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[n>>4], digits[n&15]})
}

func hash(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()
}

func scheduleStream(shard int) string { return "SCHEDULES_" + strconv.Itoa(shard) }

// waitingSubject is where a task waits for a second, among others. It is in a drawer
// by some more of its id's hash: so who looks for an id, whatever it waits for, walks
// past few others, and a second that is too large for one look has parts.
func waitingSubject(id string, second time.Time) string {
	return "waiting." + strconv.Itoa(shardOf(id)) + "." + drawerOf(id) + "." + strconv.FormatInt(second.Unix(), 10) + "." + id
}

// waitingFilter matches what waits of a task, whatever for.
func waitingFilter(id string) string {
	return "waiting." + strconv.Itoa(shardOf(id)) + "." + drawerOf(id) + ".*." + id
}

// secondFilter matches what waits for a second in a drawer of a shard, "*" for all.
func secondFilter(shard int, drawer string, second time.Time) string {
	return "waiting." + strconv.Itoa(shard) + "." + drawer + "." + strconv.FormatInt(second.Unix(), 10) + ".*"
}

// alarmSubject is where a second waits for which something waits, and rungSubject
// where it is when it has come.
func alarmSubject(shard int, second time.Time) string {
	return "schedules." + strconv.Itoa(shard) + ".second." + strconv.FormatInt(second.Unix(), 10)
}

func rungSubject(shard int, second time.Time) string {
	return "due." + strconv.Itoa(shard) + ".second." + strconv.FormatInt(second.Unix(), 10)
}

// timerSubject is where a task waits that has a schedule of its own, and dueSubject
// where it is when its time has come.
func timerSubject(id string) string { return scheduleSubject("schedules", "task", id) }

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

// heldSubject is the place of a task in the line of a limit.
func heldSubject(limit, id string) string { return "held." + limit + "." + id }

// rateSubject is where it is kept when the next task of a limit may begin.
func rateSubject(limit string) string { return "rates." + limit }

func parseHeldSubject(subject string) (limit, id string, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 3 || parts[0] != "held" {
		return "", "", false
	}
	return parts[1], parts[2], true
}

func kindToken(kind string) string { return strings.ReplaceAll(kind, ".", "-") }

// deadFilter matches the dead of a queue and a kind, empty for any.
func deadFilter(queue, kind string) string {
	return deadSubject(cmp.Or(queue, "*"), cmp.Or(kind, "*"), "*")
}

func parseDeadSubject(subject string) (queue, kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "dead.")
	if !ok {
		return "", "", "", false
	}
	return parseTaskSubject("tasks." + rest)
}
