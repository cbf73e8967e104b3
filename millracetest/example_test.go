package millracetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"millrace"
	"millrace/millracetest"
	"millrace/processor"
	"millrace/streams"
)

// What follows is a user's program: it sends mail, and reminds of what was not read.

type Mail struct {
	To string `json:"to"`
}

type Sent struct {
	At time.Time `json:"at"`
}

type mailer struct {
	store *streams.Store
	busy  int // so often the mail server has no time
}

func (m *mailer) send(ctx context.Context, t millrace.Task[Mail]) (Sent, error) {
	if t.Args.To == "" {
		return Sent{}, millrace.Permanent(errors.New("there is nobody to write to"))
	}
	if m.busy--; m.busy >= 0 {
		return Sent{}, errors.New("the mail server is busy")
	}
	// The id is made from this task's: if this runs twice, there is one reminder.
	reminder := millrace.RawTask{ID: millrace.DeriveID(t.ID, "remind"), Kind: "mail.remind"}
	reminder.Args, _ = json.Marshal(t.Args)
	if err := m.store.SubmitAt(ctx, reminder, time.Now().Add(24*time.Hour)); err != nil && !errors.Is(err, millrace.ErrConflict) {
		return Sent{}, err
	}
	return Sent{At: time.Now()}, nil
}

// register is what the program itself calls, too.
func (m *mailer) register(p *processor.Processor) {
	processor.Handle(p, "mail.send", m.send, processor.Kind{
		MaxAttempts: 10,
		Backoff:     &millrace.Backoff{Policy: millrace.Exponential, Delay: millrace.Duration(time.Minute), Max: millrace.Duration(30 * time.Minute)},
	})
}

// A handler that fails is tried again, with an hour of waiting.
func TestExample_retries(t *testing.T) {
	millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
		mails := &mailer{store: m.Store, busy: 6}
		mails.register(m.Processor)
		began := time.Now()
		id := m.Submit("mail.send", Mail{To: "ada"})

		sent := millracetest.Result[Sent](m, id)
		// 1 + 2 + 4 + 8 + 16 + 30 minutes; nothing is early, and seconds are whole.
		if late := sent.At.Sub(began) - 61*time.Minute; late < 0 || late > 10*time.Second {
			t.Errorf("it was sent after %s", sent.At.Sub(began))
		}
		if r := m.Wait(id); len(r.Attempts) != 7 || r.Attempts[5].Error != "the mail server is busy" {
			t.Errorf("%+v", r.Attempts)
		}
		if tasks := m.Submitted("mail.*"); len(tasks) != 2 { // it, and the reminder that it submitted in the end
			t.Errorf("%+v", tasks)
		}
	})
}

// A handler submits a task of its own, for later.
func TestExample_followUp(t *testing.T) {
	millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
		mails := &mailer{store: m.Store}
		mails.register(m.Processor)
		var reminded []string
		processor.Handle(m.Processor, "mail.remind", func(_ context.Context, t millrace.Task[Mail]) (any, error) {
			reminded = append(reminded, t.Args.To)
			return nil, nil
		}, processor.Kind{})
		m.Wait(m.Submit("mail.send", Mail{To: "ada"}))

		if tasks := m.Submitted("mail.remind"); len(tasks) != 1 || string(tasks[0].Args) != `{"to":"ada"}` {
			t.Errorf("%+v", tasks)
		}
		if m.Advance(23 * time.Hour); len(reminded) > 0 {
			t.Errorf("too early: %v", reminded)
		}
		if m.Advance(2 * time.Hour); len(reminded) != 1 {
			t.Errorf("reminded %v", reminded)
		}
		if all := m.Submitted("*"); len(all) != 2 || all[0].Kind != "mail.send" {
			t.Errorf("%+v", all)
		}
		if bad := m.Wait(m.Submit("mail.send", Mail{})); bad.State != millrace.Failed || bad.Error != "there is nobody to write to" {
			t.Errorf("%+v", bad)
		}
	})
}

// A schedule is due each day.
func TestExample_daily(t *testing.T) {
	days := 7
	if testing.Short() {
		days = 2
	}
	millracetest.Run(t, func(t *testing.T, m *millracetest.Millrace) {
		var ran []time.Time
		processor.Handle(m.Processor, "report.daily", func(context.Context, millrace.Task[any]) (any, error) {
			ran = append(ran, time.Now().UTC())
			return nil, nil
		}, processor.Kind{})
		m.Schedule(millrace.Schedule{Name: "report", Kind: "report.daily", Cron: "30 9 * * *"})

		m.Advance(time.Duration(days) * 24 * time.Hour)

		if len(ran) != days || len(m.Submitted("report.daily")) != days {
			t.Fatalf("it ran at %v", ran)
		}
		for _, at := range ran {
			if at.Hour() != 9 || at.Minute() != 30 || at.Second() > 2 {
				t.Errorf("it ran at %s", at)
			}
		}
	})
}
