package main

import "testing"

// What we use ourselves is no other program's, though /proc names us twice more, as
// "self" and "thread-self".
func TestOurOwnTimeIsCountedOnce(t *testing.T) {
	before, err := usageOf(nil)
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := usageOf(nil)
		if err != nil {
			t.Fatal(err)
		}
		used := now.since(before)
		if used.load < 0.5 {
			continue
		}
		if used.programs > used.machine+0.1 {
			t.Errorf("programs used %.2f s of the machine's %.2f s", used.programs, used.machine)
		}
		return
	}
}
