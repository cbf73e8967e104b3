package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace/streams"
)

const (
	// neededLevel is the API level of JetStream that has what we build on: atomic batches
	// and message schedules, both of 2.12.
	neededLevel = 2
	// testedVersion is the release of the server that all was tested with.
	testedVersion = "2.15.2"
	// fullAt is the share of what may be stored that calls for more room.
	fullAt = 0.85
)

// Examination is what Examine should look at besides the broker.
type Examination struct {
	// Role is whose permissions are tried: gateway, processor or scheduler; empty for all.
	Role string
	// Monitor is the address of the server's monitoring, such as http://127.0.0.1:8222,
	// empty if it has none: there it says when it syncs.
	Monitor string
	// Sync is what is known already of when the server writes to disk, empty for nothing.
	Sync string
}

// Examine looks at everything once, and changes nothing: what needs to be tried is made
// so that the broker refuses it for another reason.
func (b *Broker) Examine(ctx context.Context, what Examination) []Finding {
	var r report
	b.examineServer(ctx, &r)
	b.examineSync(ctx, &r, what)
	b.examineRestore(ctx, &r)
	b.examineStreams(ctx, &r)
	b.examineClock(ctx, &r)
	b.examinePermissions(&r, what.Role)
	return r
}

func (b *Broker) examineServer(ctx context.Context, r *report) {
	version := b.nc.ConnectedServerVersion()
	account, err := b.js.AccountInfo(ctx)
	if err != nil {
		r.fail("broker", "switch JetStream on in the server's configuration, and permit this user $JS.API.INFO", "nats-server %s, but JetStream does not answer: %v", version, err)
		return
	}
	switch level := account.API.Level; {
	case level < neededLevel:
		r.fail("broker", "upgrade the NATS server to "+testedVersion+" or newer", "nats-server %s has the JetStream API level %d, and Millrace needs %d", version, level, neededLevel)
	case older(version, testedVersion):
		r.warn("broker", "upgrade the NATS server when that is convenient", "nats-server %s, JetStream API level %d; Millrace is tested with %s", version, level, testedVersion)
	default:
		r.ok("broker", "nats-server %s, JetStream API level %d", version, level)
	}
	b.examineStore(r, account)
}

// examineStore looks at what this account may store. What the server's disk has left, a
// client is not told.
func (b *Broker) examineStore(r *report, account *jetstream.AccountInfo) {
	used, limit := account.Store, account.Limits.MaxStore
	if limit <= 0 {
		r.ok("store", "%s on the broker's disk; this account has no limit but the server's own", size(used))
		return
	}
	share := float64(used) / float64(limit)
	if share >= fullAt {
		r.warn("store", "let this account store more, or keep less: see --queue-mb and --dead-retention", "%s of the %s that this account may store are taken (%.0f %%)", size(used), size(uint64(limit)), 100*share)
		return
	}
	r.ok("store", "%s of the %s that this account may store are taken (%.0f %%)", size(used), size(uint64(limit)), 100*share)
}

func (b *Broker) examineRestore(ctx context.Context, r *report) {
	if _, err := b.js.Stream(ctx, streams.RestoringStream); err == nil {
		r.fail("restore", "wait until it is done, or do it again: millrace restore --replace", "a backup is being put back, or that was not finished; no process starts until it is")
	}
}

// visible are the streams of ours, and the plan of all. A role's user need not be allowed
// to list them: then it is those that are there in any case.
func (b *Broker) visible(ctx context.Context) (names []string, plan []streams.Planned, err error) {
	if b.tryPublish("$JS.API.STREAM.NAMES") == nil {
		return b.present(ctx)
	}
	plan, err = b.cfg.Plan(nil)
	for _, p := range plan {
		names = append(names, p.Stream.Name)
	}
	return names, plan, err
}

// examineStreams compares the streams and their consumers with the plan.
func (b *Broker) examineStreams(ctx context.Context, r *report) {
	found, plan, err := b.visible(ctx)
	if err != nil {
		r.fail("streams", "see whether JetStream is up on the broker, and has a leader", "%v", err)
		return
	}
	if len(found) == 0 {
		r.warn("streams", "start Millrace, which creates them", "none of the %d streams is there", len(plan))
		return
	}
	before := len(*r)
	for _, p := range plan {
		stream, err := b.js.Stream(ctx, p.Stream.Name)
		if missing(err) {
			if p.Stream.Storage == jetstream.MemoryStorage {
				continue // gone with the server's last run, and made anew by who needs it
			}
			r.warn("streams", "start a process of Millrace, which creates it; if it was there, put back a backup", "stream %s is missing", p.Stream.Name)
			continue
		}
		if err != nil {
			r.fail("streams", "permit this user $JS.API.STREAM.INFO.*; in a cluster, see whether the stream has a leader", "stream %s: %v", p.Stream.Name, err)
			continue
		}
		examineStream(r, p, stream.CachedInfo())
		b.examineConsumers(ctx, r, p, stream)
	}
	if len(*r) == before {
		r.ok("streams", "%d streams and buckets, with their consumers, are as planned", len(found))
	}
}

func examineStream(r *report, p streams.Planned, info *jetstream.StreamInfo) {
	name := p.Stream.Name
	differ, err := p.Differences(info.Config)
	if err != nil {
		r.fail("streams", "", "%v", err)
	}
	if len(differ) > 0 {
		r.warn("streams", "start a process of Millrace that may update streams, with the flags of all the others", "stream %s: %s", name, strings.Join(differ, "; "))
	}
	if limit := info.Config.MaxBytes; limit > 0 && p.Stream.Discard == jetstream.DiscardNew {
		share := float64(info.State.Bytes) / float64(limit)
		if share >= fullAt {
			r.warn("streams", "start more workers, or let it grow (--queue-mb)", "stream %s is %.0f %% full (%s of %s); when it is full, it refuses work", name, 100*share, size(info.State.Bytes), size(uint64(limit)))
		}
	}
	if info.Cluster == nil {
		return
	}
	for _, peer := range info.Cluster.Replicas {
		if peer.Offline || !peer.Current {
			r.warn("streams", "bring the server back, and see whether it catches up", "stream %s: its replica on %s is offline or behind (%d to catch up)", name, peer.Name, peer.Lag)
		}
	}
}

func (b *Broker) examineConsumers(ctx context.Context, r *report, p streams.Planned, stream jetstream.Stream) {
	name := p.Stream.Name
	for _, want := range p.Consumers {
		consumer, err := stream.Consumer(ctx, want.Durable)
		if missing(err) {
			r.warn("consumers", "start a process of Millrace, which makes it; it goes on where the old one was last seen", "consumer %s of %s is missing", want.Durable, name)
			continue
		}
		if err != nil {
			r.fail("consumers", "permit this user $JS.API.CONSUMER.INFO.*.*", "consumer %s of %s: %v", want.Durable, name, err)
			continue
		}
		info := consumer.CachedInfo()
		if differ := streams.ConsumerDifferences(info.Config, want); len(differ) > 0 {
			r.warn("consumers", "start a process of Millrace that may update consumers, with the flags of all the others", "consumer %s of %s: %s", want.Durable, name, strings.Join(differ, "; "))
		}
		if info.Paused {
			r.warn("consumers", "millrace queue resume, or wait", "consumer %s of %s is paused for %s", want.Durable, name, info.PauseRemaining.Round(time.Second))
		}
		b.examineAhead(ctx, r, name, info)
	}
}

// examineAhead finds a consumer that is further than its stream: a part of that was lost,
// and its numbers began again. What is new until they are equal is never delivered.
func (b *Broker) examineAhead(ctx context.Context, r *report, name string, consumer *jetstream.ConsumerInfo) {
	// The stream is asked after the consumer: it only grows.
	stream, err := b.js.Stream(ctx, name)
	if err != nil {
		return // told of already, if it lasts
	}
	if last := stream.CachedInfo().State.LastSeq; consumer.Delivered.Stream > last {
		r.fail("consumers", "the store was damaged or replaced: stop all processes, keep a copy of the store, and then either put back a backup, or delete the consumer (nats consumer rm "+name+" "+consumer.Name+") and start again",
			"consumer %s is ahead of its stream %s: it was given up to %d, and the stream ends at %d, so what comes now is not delivered", consumer.Name, name, consumer.Delivered.Stream, last)
	}
}

// examineClock asks the broker for the time, which it says with any stream.
func (b *Broker) examineClock(ctx context.Context, r *report) {
	found, _, err := b.visible(ctx)
	if err != nil || len(found) == 0 {
		return // told of already
	}
	asked := time.Now()
	stream, err := b.js.Stream(ctx, found[0])
	if err != nil {
		return // likewise
	}
	compareClocks(r, asked, time.Now(), stream.CachedInfo().TimeStamp)
}

// compareClocks compares the broker's clock with ours. It answered some time between.
func compareClocks(r *report, asked, answered, theirs time.Time) {
	var apart time.Duration
	switch {
	case theirs.Before(asked):
		apart = asked.Sub(theirs)
	case theirs.After(answered):
		apart = theirs.Sub(answered)
	}
	do := "let NTP set the clocks of both machines"
	switch {
	case apart > streams.ClockTolerance:
		r.fail("clock", do, "this machine's clock and the broker's are %s apart; Millrace bears %s", apart.Round(time.Millisecond), streams.ClockTolerance)
	case apart > time.Second:
		r.warn("clock", do, "this machine's clock and the broker's are %s apart", apart.Round(time.Millisecond))
	default:
		r.ok("clock", "this machine's clock and the broker's are no more than %s apart", (apart + answered.Sub(asked)).Round(time.Millisecond))
	}
}

// older compares versions such as 2.15.2, of which what follows a dash does not count.
func older(version, than string) bool {
	return slices.Compare(numbers(version), numbers(than)) < 0
}

func numbers(version string) (out []int) {
	version, _, _ = strings.Cut(version, "-")
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part) // what is no number is the oldest
		out = append(out, n)
	}
	return out
}

func size(bytes uint64) string {
	if bytes < 10<<20 {
		return strconv.FormatUint((bytes+1<<10-1)>>10, 10) + " KiB"
	}
	return strconv.FormatUint(bytes>>20, 10) + " MiB"
}
