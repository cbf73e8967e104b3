package streams_test

import (
	"testing"
	"time"

	"millrace"
	"millrace/streams"
)

// A task that was replaced, and then failed, is tried again with what replaced it, or with
// what it is redriven with; also when its record has expired.
func TestRedriveReplaced(t *testing.T) {
	for name, wait := range map[string]time.Duration{"": 0, ", after its record has expired": 3 * time.Hour} {
		for with, args := range map[string]string{"as it is": "", "with others": `{"n":3}`} {
			t.Run(with+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					store := open(t, newBroker(t), streams.Config{})
					unique := millrace.Unique{Key: "k", OnConflict: millrace.UniqueReplace}
					for i, args := range []string{`{"n":1}`, `{"n":2}`} {
						task := newTask([]string{"first", "second"}[i])
						task.Args = []byte(args)
						if _, err := store.SubmitUnique(t.Context(), task, time.Time{}, unique); err != nil {
							t.Fatal(err)
						}
					}
					p := pull(t, store, "default")
					d := take(t, p, 1)[0]
					if string(d.Task.Args) != `{"n":2}` {
						t.Fatalf("it runs with %s", d.Task.Args)
					}
					final := recordOf(d, millrace.Failed)
					if d.Record != nil {
						final = *d.Record
						final.State, final.Error, final.FinishedAt = millrace.Failed, "no luck", time.Now().UTC()
						final.Attempts = recordOf(d, millrace.Failed).Attempts
					}
					if err := store.Finish(t.Context(), d, final, time.Hour); err != nil {
						t.Fatal(err)
					}
					time.Sleep(wait)
					want := `{"n":2}`
					var other []byte
					if args != "" {
						want, other = args, []byte(args)
					}
					if _, err := store.Redrive(t.Context(), "first", other); err != nil {
						t.Fatal(err)
					}
					if d := take(t, p, 1)[0]; string(d.Task.Args) != want {
						t.Errorf("it is tried again with %s, want %s", d.Task.Args, want)
					}
				})
			})
		}
	}
}
