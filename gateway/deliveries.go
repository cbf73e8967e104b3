package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"millrace"
	"millrace/streams"
)

// deliveries remembers which webhooks were done, so that none is done again. The
// note of one is written once it is done, and not before: whatever dies on the way
// leaves a webhook that its sender delivers again, and never one that is refused
// though nothing was done. So the work must bear to be done twice; it is when the
// gateway dies between the work and the note, and when twins come at once.
//
//	no note                   do it, then write the note; who finds one then, written
//	                          by a twin, goes by that
//	the attempt is newer      the sender did not hear that it was done: say so again
//	not newer                 a replay: refused
//
// A note is the unix time of the newest attempt. It is kept for a day, as all claims
// are, which is far longer than a signature is good for.
type deliveries struct {
	bucket *streams.Bucket
	log    *slog.Logger
}

// errReplayed says that this very attempt, or a later one, was answered before.
var errReplayed = errors.New("this delivery of the webhook, or a later one, was answered before")

// once does the work of a webhook that was sent at that time, unless it is done. It
// returns nil if it is, the error of the work, or errReplayed.
func (d *deliveries) once(ctx context.Context, id string, sent int64, work func(context.Context) error) error {
	hash := sha256.Sum256([]byte(id))
	key := "webhook." + hex.EncodeToString(hash[:])
	for worked := false; ; {
		last, revision, err := d.last(ctx, key)
		switch {
		case worked && err != nil:
			d.complain(key, err)
			return nil
		case err != nil:
			return err
		case sent <= last:
			return errReplayed
		case last == 0 && !worked:
			if err := work(ctx); err != nil {
				return err
			}
			worked = true
		}
		// What is done is done, also if whoever asked for it is no longer waited for.
		_, err = d.bucket.Put(context.WithoutCancel(ctx), key, strconv.AppendInt(nil, sent, 10), revision, 0)
		if errors.Is(err, millrace.ErrConflict) {
			continue // a twin was faster, and its note decides
		}
		if err != nil {
			d.complain(key, err)
		}
		return nil
	}
}

// last is when the newest attempt was made of those that are noted, zero for none,
// and the revision to replace its note with.
func (d *deliveries) last(ctx context.Context, key string) (sent int64, revision uint64, err error) {
	data, revision, err := d.bucket.Get(ctx, key)
	if errors.Is(err, millrace.ErrNotFound) {
		return 0, revision, nil
	}
	if err != nil {
		return 0, 0, err
	}
	if sent, err = strconv.ParseInt(string(data), 10, 64); err != nil {
		return 0, 0, fmt.Errorf("claim %s: %w", key, err)
	}
	return sent, revision, nil
}

// complain is for a note that could not be written. The work stands all the same,
// and the next delivery does it again, which changes nothing.
func (d *deliveries) complain(key string, err error) {
	d.log.Warn("cannot note that a webhook was done", "claim", key, "error", err)
}
