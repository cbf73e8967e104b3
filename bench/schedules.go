package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"millrace/bench/load"
)

// schedules writes many schedules down, each due once a day, at some second of the same
// minute, and finds out how late the latest task was submitted. None may be missing, and
// none early.
func schedules(ctx context.Context, b *bench, c config) (map[string]figures, error) {
	found := map[string]figures{}
	_, err := b.with(ctx, c, func(sys *system) (figures, error) {
		n := b.scale.schedules
		first := time.Now().Add(b.scale.schedulesIn).Truncate(time.Second).UTC()
		spread := int(b.scale.schedulesOver / time.Second)
		put := load.Closed{
			Addr: sys.Addr, Connections: 64, Count: n,
			Request: func(_ []byte, i int) []byte {
				due := first.Add(time.Duration(i%spread) * time.Second)
				return load.Post("/v1/schedules", fmt.Appendf(nil,
					`{"name":"bench-%06d","kind":"bench.noop","args":{"due":%d},"cron":"%d %d %d * * *"}`, i, due.Unix(), due.Second(), due.Minute(), due.Hour()))
			},
			Check: func(_, status int, body []byte) error { return expect(http.StatusCreated, status, body) },
		}
		made, err := put.Run()
		if err == nil {
			err = made.Err
		}
		if err != nil {
			return nil, err
		}
		if time.Now().After(first) {
			return nil, fmt.Errorf("it took %s to write %d schedules down, and the first are due by now", made.Took, n)
		}
		time.Sleep(time.Until(first))
		m, err := sys.meter()
		if err != nil {
			return nil, err
		}
		latest, err := sys.Late(n)
		if err != nil {
			return nil, err
		}
		used, err := m.stop()
		if err != nil {
			return nil, err
		}
		found["schedules"] = used.add(figures{seconds.name: latest})
		found["schedulesMade"] = figures{rate.name: made.Rate(), p50.name: inMilliseconds(made.Latency.Quantile(0.5)), p99.name: inMilliseconds(made.Latency.Quantile(0.99))}
		return nil, nil
	})
	return found, err
}
