package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// embeddedName is how the server calls itself that is inside a process of Millrace.
const embeddedName = "millrace"

const doSync = `set "sync_interval: always" in the jetstream block of its configuration, unless you can bear to lose that much at a power cut`

// examineSync says when the server syncs, as far as that can be known: only its
// monitoring tells.
func (b *Broker) examineSync(ctx context.Context, r *report, what Examination) {
	switch {
	case what.Sync != "":
		r.ok("sync", "%s", what.Sync)
	case what.Monitor != "":
		b.askSync(ctx, r, what.Monitor)
	case b.nc.ConnectedServerName() == embeddedName:
		r.ok("sync", "the server is inside a node of Millrace, which syncs as its --sync says: every write, unless that is set")
	default:
		r.warn("sync", "name the server's monitoring (--monitor http://127.0.0.1:8222), or see that its configuration has sync_interval: always", "a NATS server does not tell its clients when it syncs to disk; by default it is every two minutes, and a power cut loses what came since")
	}
}

func (b *Broker) askSync(ctx context.Context, r *report, monitor string) {
	set, err := monitored(ctx, monitor)
	switch {
	case err != nil:
		r.warn("sync", "see that --monitor names the server's monitoring port", "%v", err)
	case set.Name != b.nc.ConnectedServerName():
		r.warn("sync", "name the monitoring of the server at --nats", "%s is the monitoring of the server %s, and this is %s", monitor, set.Name, b.nc.ConnectedServerName())
	case set.JetStream.Config == nil:
		r.warn("sync", "see that JetStream is on", "%s says nothing of JetStream", monitor)
	case set.JetStream.Config.SyncAlways:
		r.ok("sync", "the server syncs every write before it answers")
	default:
		r.warn("sync", doSync, "the server syncs every %s: a power cut loses what came since", set.JetStream.Config.SyncInterval)
	}
}

// variables is what we want to know of what a server says of itself.
type variables struct {
	Name      string `json:"server_name"`
	JetStream struct {
		Config *struct {
			SyncAlways   bool          `json:"sync_always"`
			SyncInterval time.Duration `json:"sync_interval"`
		} `json:"config"`
	} `json:"jetstream"`
}

func monitored(ctx context.Context, address string) (v variables, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/varz", nil)
	if err != nil {
		return v, fmt.Errorf("monitoring: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, fmt.Errorf("monitoring: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return v, fmt.Errorf("monitoring: %s answers %s", address, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&v); err != nil {
		return v, fmt.Errorf("monitoring: %s does not answer as a NATS server: %w", address, err)
	}
	return v, nil
}
