package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"millrace/alerts"
	"millrace/streams"
)

// alertFlags are of roles that watch.
type alertFlags struct {
	AlertWebhook       []string      `help:"URL that is told of alerts; repeat it for more." placeholder:"URL" sep:"none"`
	AlertSecret        []string      `help:"What webhooks are signed with: \"whsec_\" and the base64 of 24 to 64 bytes; two while one is replaced. Better set in the environment." placeholder:"SECRET"`
	AlertFailureRatio  float64       `help:"Part of the tasks that may fail in 5 min; -1 for no such alert." default:"0.2"`
	AlertOldestWaiting time.Duration `help:"How long a task may wait for its first worker; -1s for no such alert." default:"5m"`
	AlertBacklogGrowth int64         `help:"By how many tasks a queue may grow in 10 min; -1 for no such alert." default:"10000"`
	AlertNoWorker      time.Duration `help:"For how long a queue may have tasks and no worker; -1s for no such alert." default:"1m"`
	AlertDeadGrowth    int64         `help:"How many tasks may die in 10 min; -1 for no such alert." default:"100"`
	AlertScheduleLate  time.Duration `help:"How late what is due may be; -1s for no such alert." default:"1m"`
	AlertDiskFull      float64       `help:"Part of the disk that may be taken; -1 for no such alert." default:"0.85"`
	AlertLostLeases    int64         `help:"How many leases may be lost in 5 min; -1 for no such alert." default:"10"`
}

// watch returns what watches. The disk is asked how full it is; nil asks the broker.
func (f alertFlags) watch(store *streams.Store, disk diskUse, log *slog.Logger) (service, error) {
	cfg := alerts.Config{
		Thresholds: alerts.Thresholds{
			FailureRatio: f.AlertFailureRatio, OldestWaiting: f.AlertOldestWaiting, BacklogGrowth: f.AlertBacklogGrowth, NoWorker: f.AlertNoWorker,
			DeadGrowth: f.AlertDeadGrowth, ScheduleLate: f.AlertScheduleLate, DiskFull: f.AlertDiskFull, LostLeases: f.AlertLostLeases,
		},
		Webhooks: f.AlertWebhook, Secrets: f.AlertSecret, Disk: disk, Logger: log,
	}
	w, err := alerts.New(store, cfg)
	if err != nil {
		return nil, err
	}
	return w.Run, nil
}

type alertsCmd struct{ clientFlags }

// Run lists what is wrong, and what was in the last day.
func (c *alertsCmd) Run(ctx context.Context, io stdio) error {
	list := newTable(io.out, c.JSON, "ALERT", "QUEUE", "SINCE", "OVER", "WHAT")
	for _, which := range []string{"active", "resolved"} {
		err := c.each(ctx, "/v1/alerts", which, func(one json.RawMessage) error {
			var a struct {
				Rule, Subject, Text string
				Since               time.Time
				ResolvedAt          *time.Time `json:"resolved_at"`
			}
			if err := json.Unmarshal(one, &a); err != nil {
				return fmt.Errorf("the server's answer is no list of alerts: %w", err)
			}
			return list.add(one, a.Rule, a.Subject, shownTime(&a.Since), shownTime(a.ResolvedAt), a.Text)
		})
		if err != nil {
			return err
		}
	}
	return list.end("Nothing is wrong, and nothing was in the last day.")
}
