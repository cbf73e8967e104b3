package streams_test

import (
	"fmt"
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// Somebody has three tasks in hand: one is cancelled, a later one is done, and then he
// dies. The earlier one comes again.
func TestCancelForgetsNothingInHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		fill(t, store, 3)
		p := pull(t, store, "default")
		held := take(t, p, 3)
		if _, err := store.Cancel(t.Context(), held[1].Task.ID); err != nil {
			t.Fatal(err)
		}
		if err := store.Finish(t.Context(), held[2], recordOf(held[2], millrace.Succeeded), time.Hour); err != nil {
			t.Fatal(err)
		}
		if d := takeWithin(t, p, 2*time.Minute); d.Task.ID != held[0].Task.ID {
			t.Errorf("%s came, want %s", d.Task.ID, held[0].Task.ID)
		}
	})
}

// It is the same with what is due, and is being moved into its queue.
func TestCancelForgetsNothingDue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := open(t, newBroker(t), streams.Config{})
		ids := idsOf(1, 3)
		for _, id := range ids {
			if err := store.SubmitAt(t.Context(), newTask(id), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		p := pullDue(t, store, 1)
		var held []*streams.Due
		for len(held) < 3 {
			held = append(held, takeDue(t, p, 3-len(held))...)
		}
		if _, err := store.Cancel(t.Context(), held[1].Task.ID); err != nil {
			t.Fatal(err)
		}
		move(t, store, held[2:])
		if d := takeDue(t, p, 3); len(d) != 1 || d[0].Task.ID != held[0].Task.ID {
			t.Errorf("%d came", len(d))
		}
	})
}

// idsOf are n ids of a shard.
func idsOf(shard, n int) (ids []string) {
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprintf("s%d", i); streams.ShardOf(id) == shard {
			ids = append(ids, id)
		}
	}
	return ids
}
