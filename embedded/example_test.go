package embedded_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/embedded"
)

func Example() {
	dir, err := os.MkdirTemp("", "millrace")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	server, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Port: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Shutdown()

	nc, err := nats.Connect("", nats.InProcessServer(server))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		fmt.Println(err)
		return
	}
	account, err := js.AccountInfo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(nc.ConnectedServerName(), "has", account.Streams, "streams")
	// Output: millrace has 0 streams
}
