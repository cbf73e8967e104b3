package client

import "millrace"

// Unique says of what there is to be one task at a time. Debounce and Throttle stand
// alone beside the Key; of While and For there may be one.
type Unique struct {
	// Key is what there is to be one of, as in "report:2027-03", the same for all kinds
	// and queues: text of 1 to 200 bytes.
	Key string `json:"key"`
	// While is for how long the task has the key: [millrace.WhilePending] or
	// [millrace.WhileUnfinished], which is the default.
	While millrace.UniqueScope `json:"while,omitzero"`
	// For is a time from its submission instead, 1 s to [millrace.MaxUniqueFor], whatever
	// becomes of the task.
	For millrace.Duration `json:"for,omitzero"`
	// OnConflict is what becomes of a submission whose key another task has. The default
	// is [millrace.UniqueReject]: an error that wraps [millrace.ErrConflict].
	OnConflict millrace.UniqueConflict `json:"on_conflict,omitzero"`
	// Debounce is short for: wait so long, and let each submission meanwhile replace this
	// one and begin the wait anew.
	Debounce millrace.Duration `json:"debounce,omitzero"`
	// Throttle is short for: have the key for so long, and be the answer to those who
	// want it meanwhile.
	Throttle millrace.Duration `json:"throttle,omitzero"`
}
