// Command millrace-noop is Millrace as the benchmark sees it: gateway, worker, scheduler
// and embedded server in one process, put together as in the command itself, with a
// handler that does nothing. It is a process of its own so that its memory is, and
// its worker starts when the benchmark says so.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace/bench/control"
	"millrace/embedded"
	"millrace/gateway"
	"millrace/scheduler"
	"millrace/streams"
)

func main() {
	dir := flag.String("dir", "", "directory for the store")
	sync := flag.Duration("sync", 0, "0 syncs every write")
	flag.Parse()
	if err := run(context.Background(), *dir, *sync); err != nil {
		fmt.Fprintln(os.Stderr, "millrace-noop:", err)
		os.Exit(1)
	}
}

// run serves until the standard input ends. There is nothing to save then, so
// nothing is shut down.
func run(ctx context.Context, dir string, sync time.Duration) error {
	srv, err := embedded.Start(ctx, embedded.Config{DataDir: dir, Port: -1, Sync: sync})
	if err != nil {
		return err
	}
	connect := func() (*streams.Store, error) {
		return streams.Open(ctx, streams.Config{InProcess: srv, Async: sync != 0})
	}
	store, err := connect()
	if err != nil {
		return err
	}
	api, err := gateway.New(store, gateway.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	results, err := openStream(ctx, srv, "KV_results")
	if err != nil {
		return err
	}
	log, err := openStream(ctx, srv, "TASKS_default")
	if err != nil {
		return err
	}
	go fail("gateway", func() error { return api.Run(ctx) })
	go fail("scheduler", func() error { return scheduler.New(store, scheduler.Config{}).Run(ctx) })
	hello := control.Hello{Addr: api.Addr().String(), PIDs: []int{os.Getpid()}, Version: "Millrace"}
	return control.Serve(ctx, os.Stdin, os.Stdout, hello, &system{store: store, connect: connect, clean: srv.Remembers(), results: results, log: log})
}

// openStream gives a stream to count in: the records, of which there is one for each
// task that succeeds at once, and the log.
func openStream(ctx context.Context, srv *embedded.Server, name string) (jetstream.Stream, error) {
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return js.Stream(ctx, name)
}

// fail runs what must not end, and ends the process if it does.
func fail(what string, run func() error) {
	fmt.Fprintf(os.Stderr, "millrace-noop: %s ended: %v\n", what, run())
	os.Exit(1)
}
