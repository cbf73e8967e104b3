package streams

import (
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"millrace"
)

// Settings are what can be changed while everything runs, for all processes at once.
// They are one entry in the bucket control. See [Control].
//
// Those that [Control.Get] returns are everybody's: they must not be changed.
type Settings struct {
	// Routes, if there are any, even none, replace those of the configuration.
	Routes *[]millrace.Route `json:"routes,omitzero"`
	// Limits is the same for limits.
	Limits *[]millrace.Limit `json:"limits,omitzero"`
	// Queues has what is said of a queue, by name. One that nothing is said of is not
	// in it.
	Queues map[string]QueueSettings `json:"queues,omitempty"`
	// Kinds is the same for kinds.
	Kinds map[string]KindSettings `json:"kinds,omitempty"`

	revision   uint64
	superseded chan struct{}
}

// QueueSettings are what is said of one queue.
type QueueSettings struct {
	// Added says that the queue is there whatever the configuration of a process says.
	Added bool `json:"added,omitzero"`
	// Weight is an added queue's share of the handlers: zero means 1.
	Weight int `json:"weight,omitzero"`
	// Strict says that an added queue goes before all that are not.
	Strict bool `json:"strict,omitzero"`
	// Paused is since when no worker takes tasks from the queue; zero if they do.
	Paused time.Time `json:"paused,omitzero"`
	// Draining is since when nothing is let in from outside; zero if it is.
	Draining time.Time `json:"draining,omitzero"`
	// Removing is since when it is not there any more, and being removed.
	Removing time.Time `json:"removing,omitzero"`
}

// KindSettings are what is said of one kind.
type KindSettings struct {
	// Paused is since when no worker runs tasks of the kind; zero if they do.
	Paused time.Time `json:"paused,omitzero"`
}

// encoded is the entry, always the same for the same settings.
func (s *Settings) encoded() ([]byte, error) {
	return json.Marshal(s, lenient, json.Deterministic(true))
}

// Superseded is closed when there are newer settings.
func (s *Settings) Superseded() <-chan struct{} { return s.superseded }

// Revision grows with every change: zero if nothing was ever set.
func (s *Settings) Revision() uint64 { return s.revision }

// Queue is what is said of a queue.
func (s *Settings) Queue(name string) QueueSettings { return s.Queues[name] }

// Kind is what is said of a kind.
func (s *Settings) Kind(kind string) KindSettings { return s.Kinds[kind] }

// AddedQueues are the names of the queues that were added, sorted.
func (s *Settings) AddedQueues() []string {
	var added []string
	for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
		if s.Queues[name].Added && s.Queues[name].Removing.IsZero() {
			added = append(added, name)
		}
	}
	return added
}

// ChangeQueue lets change say something else of a queue. What says nothing is left out.
func (s *Settings) ChangeQueue(name string, change func(*QueueSettings)) {
	s.Queues = changed(s.Queues, name, change)
}

// ChangeKind is [Settings.ChangeQueue] for a kind.
func (s *Settings) ChangeKind(kind string, change func(*KindSettings)) {
	s.Kinds = changed(s.Kinds, kind, change)
}

func changed[T comparable](all map[string]T, name string, change func(*T)) map[string]T {
	var nothing T
	one := all[name]
	change(&one)
	if all == nil {
		all = map[string]T{}
	}
	all[name] = one
	if one == nothing {
		delete(all, name)
	}
	return all
}
