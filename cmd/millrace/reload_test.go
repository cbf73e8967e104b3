package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

var (
	tookOver    = regexp.MustCompile(`"msg":"(took the configuration over)"`)
	tookNothing = regexp.MustCompile(`"msg":"(the configuration is not taken over; what was before goes on)"`)
)

// Roles that run apart take over the queues, routes and limits of their file when they are
// told to, each for itself and all of them together: what is new is admitted, moved and
// worked on without a restart. What is wrong changes nothing.
func TestReloadApart(t *testing.T) {
	b := startBroker(t)
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("queue: [critical:6, default:3, bulk:1]\n")
	gateway, api := startGateway(t, b, "--config", file)
	worker := startProcessor(t, b, "--config", file)
	mover := start(t, "millrace", "scheduler", "--nats", b.url, "--config", file)
	mover.says(t, isReady)
	roles := []*process{gateway, worker, mover}
	reload := func(says *regexp.Regexp) {
		t.Helper()
		for _, p := range roles {
			p.output.begin()
			p.signal(t, syscall.SIGHUP)
			p.says(t, says)
		}
	}
	queueOf := func(id string) string {
		return decode[struct{ Queue string }](t, api.get(t, "/v1/tasks/"+id).body).Queue
	}

	write("queue: [critical:6, default:3, bulk:1, mail:2]\nroute: ['mail.*=mail', 'order.reconcile=mail']\nlimit: ['kind:mail.*=1']\n")
	reload(tookOver)
	later := api.submit(t, `{"kind":"mail.send","delay":"1s"}`)
	mail := api.submit(t, `{"kind":"mail.send"}`)
	if queue := queueOf(mail); queue != "mail" {
		t.Errorf("a mail is in the queue %s", queue)
	}
	// The scheduler knows the queue: it brings there what waited, behind the one before.
	eventually(t, func() error {
		task := decode[struct {
			State, Queue string
			HeldBy       string `json:"held_by"`
		}](t, api.get(t, "/v1/tasks/"+later).body)
		if task.Queue != "mail" || task.State != "pending" || task.HeldBy != "kind-mail-send" {
			return fmt.Errorf("%+v", task)
		}
		return nil
	})
	// The worker serves it.
	if r := api.post(t, "/v1/schedules/orders-reconcile/run", ""); r.status != 202 {
		t.Fatal(r)
	} else if id := decode[struct{ ID string }](t, r.body).ID; queueOf(id) != "mail" {
		t.Errorf("it is in the queue %s", queueOf(id))
	} else if task, err := api.finished(t.Context(), id); err != nil || task.State != "succeeded" {
		t.Errorf("%+v, %v", task, err)
	}

	write("queue: [critical:6, default:3, bulk:1, mail:much]\nroute: ['*=bulk']\n")
	reload(tookNothing)
	if queue := queueOf(api.submit(t, `{"kind":"mail.send"}`)); queue != "mail" {
		t.Errorf("after a reload that failed a mail is in the queue %s", queue)
	}
	write("queue: [critical:6, default:3, bulk:1]\n") // what is missing stays
	reload(tookOver)
	if queue := queueOf(api.submit(t, `{"kind":"mail.send"}`)); queue != "default" {
		t.Errorf("without routes a mail is in the queue %s", queue)
	}
	queueOf(api.submit(t, `{"kind":"mail.send","queue":"mail"}`))
}
