package orders_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"millrace"
	"millrace/orders"
	"millrace/processor"
)

// childDir makes the test binary a process that places orders in the named
// directory until it is killed.
const childDir = "MILLRACE_ORDERS_TEST_CHILD"

// placeUntilKilled places and works on orders, and prints the id of each that was
// accepted.
func placeUntilKilled(dir string) error {
	s, shut, err := startShop(context.Background(), dir)
	if err != nil {
		return err
	}
	defer shut()
	p := processor.New(s.store, processor.Config{})
	s.Register(p)
	failed := make(chan error)
	go func() { failed <- p.Run(context.Background()) }()
	for range 16 {
		go func() {
			for {
				id := millrace.NewID()
				if _, err := s.Place(context.Background(), mugs(id)); err != nil {
					failed <- err
					return
				}
				fmt.Println(id)
			}
		}()
	}
	return <-failed
}

// The process is killed at any moment, five times. Each order that was accepted
// is there, once, and ends in awaiting_payment.
func TestKilledProcessLosesNoOrder(t *testing.T) {
	dir := t.TempDir()
	var accepted []string
	for range 5 {
		accepted = append(accepted, killAfter(t, dir, 150)...)
	}
	s := openShopIn(t, dir)
	s.work(t)
	for _, id := range accepted {
		// As a client does that did not hear whether its order was accepted.
		receipt := s.place(t, mugs(id))
		s.outcome(t, receipt.TaskID)
		order, _ := s.get(t, id)
		if order.State != orders.AwaitingPayment || order.TotalMinor != mugsTotal || len(order.History) != 2 {
			t.Errorf("%+v", order)
		}
	}
}

// killAfter starts a child, kills it once it has placed so many orders, and
// returns those.
func killAfter(t *testing.T, dir string, placed int) (ids []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error:") {
			t.Fatal(lines.Text())
		}
		if ids = append(ids, lines.Text()); len(ids) == placed {
			cmd.Process.Kill()
		}
	}
	// The last line may have been cut off.
	if len(ids) > placed {
		ids = ids[:len(ids)-1]
	}
	if len(ids) < placed {
		t.Fatalf("the child placed %d orders", len(ids))
	}
	return ids
}
