//go:build race

package broker

// raced says that the race detector watches, which makes everything ten times as slow.
const raced = true
