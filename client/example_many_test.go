package client_test

import (
	"context"
	"errors"
	"fmt"

	"millrace"
	"millrace/client"
)

// Tasks that are made one by one, or read from somewhere, need not all be in memory.
func ExampleClient_SubmitSeq() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	mails := func(yield func(client.Task) bool) {
		for i := range 10_000 {
			// With an id that is made from what the task is for, all of it can be done again.
			id := fmt.Sprint("march-", i)
			if !yield(client.Task{ID: id, Kind: "mail.send", Args: Mail{To: fmt.Sprint(id, "@example.com")}}) {
				return
			}
		}
	}
	taken := 0
	for i, answer := range c.SubmitSeq(ctx, mails) {
		if answer.Err != nil {
			fmt.Println("mail", i, answer.Err)
			continue
		}
		taken++
	}
	sent, err := client.Result[Sent](ctx, c, "march-9999")
	fmt.Println(taken, sent.Message, err)
	// Output: 10000 to march-9999@example.com <nil>
}

// All of them or none.
func ExampleClient_SubmitTogether() {
	c, stop := start()
	defer stop()
	ctx := context.Background()
	_, err := c.SubmitTogether(ctx, []client.Task{
		{ID: "ada", Kind: "mail.send", Args: Mail{To: "ada@example.com"}},
		{ID: "bob", Kind: "Mail", Args: Mail{To: "bob@example.com"}},
	})
	p, _ := errors.AsType[*client.Problem](err)
	fmt.Println(errors.Is(err, millrace.ErrInvalid), p.Errors[0].Location)
	_, err = c.Get(ctx, "ada")
	fmt.Println(errors.Is(err, millrace.ErrNotFound))

	receipts, err := c.SubmitTogether(ctx, []client.Task{
		{ID: "ada", Kind: "mail.send", Args: Mail{To: "ada@example.com"}},
		{ID: "bob", Kind: "mail.send", Args: Mail{To: "bob@example.com"}},
	})
	fmt.Println(len(receipts), err)
	// Output:
	// true body.lines[2]
	// true
	// 2 <nil>
}
