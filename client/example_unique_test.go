package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"millrace"
	"millrace/client"
)

// One mail at a time waits for Ada; the last one that was asked for is sent.
func ExampleUnique() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	mail := func(to string, onConflict millrace.UniqueConflict) (client.Receipt, error) {
		return c.Submit(ctx, client.Task{
			Kind: "mail.send", Args: Mail{To: to}, Delay: millrace.Duration(2 * time.Second),
			Unique: &client.Unique{Key: "welcome:ada", OnConflict: onConflict},
		})
	}
	first, err := mail("ada@example.com", "")
	fmt.Println(first.State, err)

	_, err = mail("ada@example.org", millrace.UniqueReject)
	p, _ := errors.AsType[*client.Problem](err)
	fmt.Println(errors.Is(err, millrace.ErrConflict), p.State, p.Location == "/v1/tasks/"+first.ID)

	other, err := mail("ada@example.org", millrace.UniqueReturn)
	fmt.Println(other.ID == first.ID, other.Existing, other.Replaced, err)

	other, err = mail("ada@example.net", millrace.UniqueReplace)
	fmt.Println(other.ID == first.ID, other.Existing, other.Replaced, err)

	sent, err := client.Result[Sent](ctx, c, first.ID)
	fmt.Println(sent.Message, err)
	// Output:
	// scheduled <nil>
	// true scheduled true
	// true true false <nil>
	// true true true <nil>
	// to ada@example.net <nil>
}

// One digest is sent, two seconds after the last change.
func ExampleUnique_debounce() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	var last client.Receipt
	for _, to := range []string{"ada", "bob", "eve"} {
		var err error
		last, err = c.Submit(ctx, client.Task{
			Kind: "mail.send", Args: Mail{To: to},
			Unique: &client.Unique{Key: "digest", Debounce: millrace.Duration(2 * time.Second)},
		})
		fmt.Println(last.State, last.Replaced, err)
	}
	sent, err := client.Result[Sent](ctx, c, last.ID)
	fmt.Println(sent.Message, err)
	// Output:
	// scheduled false <nil>
	// scheduled true <nil>
	// scheduled true <nil>
	// to eve <nil>
}

// The first alarm is raised; those of the next minute are answered with it.
func ExampleUnique_throttle() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	var ids []string
	for _, to := range []string{"ada", "bob"} {
		r, err := c.Submit(ctx, client.Task{
			Kind: "mail.send", Args: Mail{To: to},
			Unique: &client.Unique{Key: "alarm", Throttle: millrace.Duration(time.Minute)},
		})
		fmt.Println(r.Existing, err)
		ids = append(ids, r.ID)
	}
	sent, err := client.Result[Sent](ctx, c, ids[1])
	fmt.Println(sent.Message, ids[0] == ids[1], err)
	// Output:
	// false <nil>
	// true <nil>
	// to ada true <nil>
}
