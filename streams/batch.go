package streams

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// A batch is what a committer writes together:
//
//   - up to fewWriters messages as plain publishes, in flight together: that is
//     as fast, and a lone writer waits for nobody;
//   - more as one atomic batch, maxCommit at most.
//
// An atomic batch is all or nothing. If it is refused, its messages are published
// one by one: a bad one never fails its neighbours. (Not by halves: each refused
// batch was staged in files of its own, so that 500 repeated messages took 1.2 s,
// where plain publishes take 35 ms, since a refused one syncs nothing.)
//
// The server makes a place for a batch in files when its first message comes, which
// is two thirds of the cost of a small one. To send that message ahead, while the
// writers still gather, gains nothing: on two cores it slows them as much.
const (
	// A plain publish takes 0.18 ms, so 16 of them take what a batch does at least.
	fewWriters = 16
	// maxBatch is how many messages are read, or asked about, at once.
	maxBatch = 500
	// maxCommit is as many as the server writes as one. The files in which it stages a
	// batch of 500 are a quarter of what that costs it in CPU time.
	maxCommit     = MaxTogether
	maxBatchBytes = 4 << 20
	// maxHeaders is what the headers of a batch add to a message at most.
	maxHeaders = 256
)

type batch struct {
	committer *committer
	writes    []*write
	size      int // of the messages' bodies, in bytes
	alone     int // how many writers of one message it has
}

// take adds w, unless its writer has given up.
func (b *batch) take(w *write) {
	b.committer.left(w)
	if w.claimed.CompareAndSwap(false, true) {
		b.writes = append(b.writes, w)
		b.size += len(w.msg.Data)
		if w.alone {
			b.alone++
		}
	}
}

func (b *batch) full() bool { return len(b.writes) >= maxCommit || b.size >= maxBatchBytes }

// commit writes the batch and gives everybody in it a verdict. The error is that of
// the last one.
func (b *batch) commit(ctx context.Context) error {
	b.committer.replies.commits.count(len(b.writes))
	if len(b.writes) <= fewWriters {
		return b.commitEach(ctx)
	}
	seq, err := b.commitAtomic(ctx)
	if errors.Is(err, errRefused) {
		return b.commitEach(ctx)
	}
	for i, w := range b.writes {
		// seq is the last one's; the batch lies in the stream without gaps.
		w.verdict <- verdict{seq - uint64(len(b.writes)-1-i), err}
	}
	return err
}

// commitAtomic writes the batch as one, and returns the last sequence.
func (b *batch) commitAtomic(ctx context.Context) (uint64, error) {
	msgs := make([]*nats.Msg, len(b.writes))
	for i, w := range b.writes {
		msgs[i] = w.msg
	}
	return b.committer.replies.storeTogether(context.WithoutCancel(ctx), msgs)
}

// storeTogether writes messages of one stream, all of them or none, and returns the
// last sequence (ADR-50 of the NATS architecture records).
func (r *replies) storeTogether(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	id := nuid.Next()
	last := len(msgs) - 1
	for i, m := range msgs[:last] {
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		m.Reply = "" // the server says nothing before the commit
		if err := r.nc.PublishMsg(m); err != nil {
			return 0, publishError(err)
		}
	}
	if last > 0 { // one alone is a plain publish
		msgs[last].Header.Set("Nats-Batch-Id", id)
		msgs[last].Header.Set("Nats-Batch-Sequence", strconv.Itoa(last+1))
		msgs[last].Header.Set("Nats-Batch-Commit", "1")
	}
	call, err := r.send(msgs[last], 1)
	if err != nil {
		return 0, err
	}
	return call.stored(ctx)
}

// commitEach writes all of them as plain publishes, in flight together.
func (b *batch) commitEach(ctx context.Context) (err error) {
	msgs := make([]*nats.Msg, len(b.writes))
	for i, w := range b.writes {
		for _, h := range []string{"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"} {
			w.msg.Header.Del(h)
		}
		msgs[i] = w.msg
	}
	for i, v := range b.committer.storeEach(context.WithoutCancel(ctx), msgs) {
		b.writes[i].verdict <- v
		err = v.err
	}
	return err
}
