package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"millrace"
	"millrace/streams"
)

// started is a dispatcher that only notes what it starts.
func started(concurrency int, queues ...Queue) (*dispatcher, *[]*job) {
	var log []*job
	d := newDispatcher(Config{Concurrency: concurrency, Queues: queues}, func(jobs []*job) { log = append(log, jobs...) })
	return d, &log
}

// soFar is what was started, by whomever.
func soFar(d *dispatcher, log *[]*job) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(*log)
}

func jobs(l *lane, n int) []*job {
	out := make([]*job, n)
	for i := range out {
		out[i] = &job{Delivery: &streams.Delivery{Task: millrace.RawTask{ID: fmt.Sprintf("%s-%d", l.Name, i)}, Received: time.Now()}, lane: l}
	}
	return out
}

func TestWeightsShareTheHandlers(t *testing.T) {
	d, log := started(0, Queue{Name: "critical", Weight: 6}, Queue{Name: "default", Weight: 3}, Queue{Name: "bulk", Weight: 1})
	for _, l := range d.lanes {
		d.offer(l, jobs(l, 100))
	}
	for range 100 {
		d.freed([]*job{{}})
	}
	count := map[string]int{}
	var turns strings.Builder
	for i, j := range *log {
		count[j.lane.Name]++
		if i < 10 {
			turns.WriteByte(j.lane.Name[0])
		}
	}
	if got := fmt.Sprint(count); got != "map[bulk:10 critical:60 default:30]" {
		t.Errorf("of 100 places: %s", got)
	}
	// Smooth: the heaviest is not served in one run.
	if got, want := turns.String(), "cdccdcbcdc"; got != want {
		t.Errorf("the first ten turns: %s, want %s", got, want)
	}
}

func TestStrictGoesFirst(t *testing.T) {
	d, log := started(0, Queue{Name: "default", Weight: 100}, Queue{Name: "now", Weight: 1, Strict: true})
	for _, l := range d.lanes {
		d.offer(l, jobs(l, 5))
	}
	for range 10 {
		d.freed([]*job{{}})
	}
	var got []string
	for _, j := range *log {
		got = append(got, j.lane.Name)
	}
	want := strings.Repeat("now ", 5) + strings.Repeat("default ", 5)
	if strings.Join(got, " ")+" " != want {
		t.Errorf("served %v", got)
	}
}

// Turns of a strict lane are nobody's credit: afterwards the others share as before,
// wherever they stand in the list.
func TestStrictTurnsAreNoCredit(t *testing.T) {
	d, log := started(0, Queue{Name: "a", Weight: 1}, Queue{Name: "now", Strict: true}, Queue{Name: "b", Weight: 1})
	for _, l := range d.lanes {
		d.offer(l, jobs(l, 20))
	}
	for range 40 {
		d.freed([]*job{{}})
	}
	var turns strings.Builder
	for _, j := range *log {
		turns.WriteByte(j.lane.Name[0])
	}
	if got, want := turns.String(), strings.Repeat("n", 20)+strings.Repeat("ab", 10); got != want {
		t.Errorf("served %s, want %s", got, want)
	}
}

// Whatever the weights are, each lane has its share in any window as long as their
// sum, and none is passed over for longer.
func TestSharesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 6).Draw(t, "weights")
		var queues []Queue
		sum := 0
		for i, w := range weights {
			queues = append(queues, Queue{Name: fmt.Sprint(i), Weight: w})
			sum += w
		}
		d, log := started(0, queues...)
		for _, l := range d.lanes {
			d.offer(l, jobs(l, 3*sum))
		}
		for range 3 * sum {
			d.freed([]*job{{}})
		}
		for round := range 3 {
			count := map[string]int{}
			for _, j := range (*log)[round*sum : (round+1)*sum] {
				count[j.lane.Name]++
			}
			for _, q := range queues {
				if count[q.Name] != q.Weight {
					t.Fatalf("round %d: lane %s had %d turns, want %d", round, q.Name, count[q.Name], q.Weight)
				}
			}
		}
	})
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := started(4, Queue{Name: "default", Weight: 1})
		l := d.lanes[0]
		if got := d.room(l); got != 4 {
			t.Errorf("an idle worker has room for %d, want its 4 handlers", got)
		}
		d.offer(l, jobs(l, 4))
		if got := d.room(l); got != 0 {
			t.Errorf("with every handler busy and none coming free: room for %d, want none", got)
		}
		// Handlers come free a hundred times in a tenth of a second.
		for range 100 {
			d.offer(l, jobs(l, 1))
			d.freed([]*job{(*log)[len(*log)-1]})
			time.Sleep(time.Millisecond)
		}
		if got := d.room(l); got < 40 || got > 60 {
			t.Errorf("at 1,000 a second: room for %d, want what 50 ms bring, about 50", got)
		}
		time.Sleep(turnoverWindow)
		if got := d.room(l); got != 0 {
			t.Errorf("when nothing came free for a second: room for %d, want none", got)
		}
	})
}

func TestSuspectsRunOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := started(10, Queue{Name: "default", Weight: 1})
		l := d.lanes[0]
		suspects := jobs(l, 3)
		for _, j := range suspects {
			j.lost = suspectAfter
		}
		wantStarted := func(when string, n int, last *job) {
			t.Helper()
			if got := soFar(d, log); len(got) != n || last != nil && got[n-1] != last {
				t.Fatalf("%s: %d started, want %d", when, len(got), n)
			}
		}
		d.offer(l, append(suspects, jobs(l, 2)...))
		wantStarted("the first suspect, and the two that are none", 3, nil)
		if (*log)[0] != suspects[0] {
			t.Error("the suspect came last")
		}
		d.freed([]*job{suspects[0]})
		wantStarted("the second once the first has ended", 4, suspects[1])
		time.Sleep(suspectHold + time.Millisecond)
		synctest.Wait()
		wantStarted("the third while the second runs on", 5, suspects[2])
		d.freed([]*job{suspects[1]})
		d.freed([]*job{suspects[2]})
		time.Sleep(suspectHold + time.Millisecond) // the timers end in the bubble
	})
}

// With slow handlers nothing is ready when one comes free. Then a strict lane has
// answerTime to say that it has something.
func TestTheChoiceWaitsForAnswers(t *testing.T) {
	for _, answers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			d, log := started(1, Queue{Name: "default", Weight: 1}, Queue{Name: "now", Strict: true})
			lane, strict := d.lanes[0], d.lanes[1]
			slow := jobs(lane, 1)
			d.offer(lane, slow)
			time.Sleep(time.Minute)
			d.park(lane)
			d.park(strict)
			d.freed([]*job{slow[0]})
			common := jobs(lane, 1)
			d.offer(lane, common)
			if len(soFar(d, log)) != 1 {
				t.Fatal("whichever answered first was served")
			}
			if answers {
				d.offer(strict, jobs(strict, 1))
				if got := soFar(d, log); len(got) != 2 || got[1].lane != strict {
					t.Error("the strict lane was not served at once")
				}
			}
			time.Sleep(answerTime)
			synctest.Wait()
			if got := soFar(d, log); len(got) != 2 || !answers && got[1] != common[0] {
				t.Errorf("%d started, want 2", len(got))
			}
		})
	}
}

func TestStaleJobsAreHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := started(0, Queue{Name: "a", Weight: 1}, Queue{Name: "b", Weight: 1})
		old := jobs(d.lanes[0], 2)
		d.offer(d.lanes[0], old)
		time.Sleep(800 * time.Millisecond)
		d.offer(d.lanes[1], jobs(d.lanes[1], 1))
		time.Sleep(300 * time.Millisecond)
		if got := d.stale(time.Second); len(got) != 2 || got[0] != old[0] {
			t.Errorf("%d are stale, want the two that came first", len(got))
		}
		if got := d.close(); len(got) != 1 {
			t.Errorf("%d are left at the close, want 1", len(got))
		}
		if refused := d.offer(d.lanes[0], jobs(d.lanes[0], 1)); len(refused) != 1 {
			t.Error("a closed dispatcher took a job")
		}
	})
}
