package millrace

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// NewTrace is where a new trace begins, one that is recorded.
func NewTrace() Trace {
	var random [24]byte
	_, _ = rand.Read(random[:]) // it never fails
	return beginning(random)
}

// DeriveTrace is where the trace of a task begins that is part of no other, as that of a
// schedule: it is made from the task's id, so that whoever begins it, and however often,
// begins the same one. It is recorded.
func DeriveTrace(id string) Trace {
	sum := sha256.Sum256([]byte("trace of " + id))
	return beginning([24]byte(sum[:24]))
}

func beginning(ids [24]byte) Trace {
	ids[0], ids[16] = ids[0]|1, ids[16]|1 // nothing but zeros would be none
	return Trace{Parent: "00-" + hex.EncodeToString(ids[:16]) + "-" + hex.EncodeToString(ids[16:]) + "-01"}
}

// Sampled reports whether the trace is recorded: whoever began it has decided that.
func (t Trace) Sampled() bool {
	return t.valid() && strings.IndexByte("13579bdf", t.Parent[54]) >= 0 // the last bit of the flags
}
