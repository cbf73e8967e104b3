package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"millrace"
)

// stored is a message as it lies in a stream.
type stored struct {
	subject string
	seq     uint64
	time    time.Time
	data    []byte
	by      string // the delivery that wrote it, if its leader was asked
}

// maxLooked is how many bytes of messages the server sends for one request, or one
// message more.
const maxLooked = 8 << 20

// lastBy returns the last message of each subject that matches one of filters (a
// direct get of several, ADR-31 of the NATS architecture records), in one request
// unless they are large. Nothing found is no error, and more than 1,024 are
// errTooMany.
//
// With replicas any of them may answer, so what was written a moment ago can be
// missing; a write that expects a revision finds out.
func (s *Store) lastBy(ctx context.Context, stream string, filters ...string) ([]stored, error) {
	return s.lastOf(ctx, stream, len(filters)+fewMore, filters)
}

// fewMore is for the filters that match a few subjects.
const fewMore = 32

// lastOf is lastBy for filters that match so many subjects at most.
func (s *Store) lastOf(ctx context.Context, stream string, most int, filters []string) ([]stored, error) {
	ask := directGet{MultiLast: filters, MaxBytes: maxLooked}
	var found []stored
	for {
		some, end, err := s.getDirect(ctx, stream, most, ask)
		if err != nil {
			return nil, fmt.Errorf("look up in %s: %w", stream, err)
		}
		// What was written again meanwhile comes again. (It would be missing if the server
		// were asked, as it can be, for what there was at first: that is gone.)
		if len(found) > 0 {
			found = slices.DeleteFunc(found, func(old stored) bool {
				return slices.ContainsFunc(some, func(st stored) bool { return st.subject == old.subject })
			})
		}
		found = append(found, some...)
		left := end.Get("Nats-Num-Pending")
		if left == "" || left == "0" || len(some) == 0 {
			return found, nil
		}
		ask.Seq = some[len(some)-1].seq + 1
	}
}

// lastByAll is lastBy for any number of filters that match a few subjects each.
func (s *Store) lastByAll(ctx context.Context, stream string, filters []string) ([]stored, error) {
	var all []stored
	for some := range slices.Chunk(filters, maxFilters) {
		found, err := s.lastOf(ctx, stream, maxListed-1, some)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// maxFilters is how many filters are asked for at once.
const maxFilters = 250

// scan calls visit with every message of the subjects that match filter, in the
// order in which they were written, until that returns false. What is written
// meanwhile may be seen or not.
func (s *Store) scan(ctx context.Context, stream, filter string, visit func(stored) bool) error {
	return s.scanPages(ctx, stream, filter, 1, func(page []stored) (bool, error) {
		for _, st := range page {
			if !visit(st) {
				return false, nil
			}
		}
		return true, nil
	})
}

// scanPages is scan from a sequence, for who takes what comes together at once.
func (s *Store) scanPages(ctx context.Context, stream, filter string, from uint64, visit func(page []stored) (more bool, err error)) error {
	ask := directGet{NextBy: filter, Batch: maxBatch, MaxBytes: maxLooked, Seq: from}
	for {
		page, end, err := s.getDirect(ctx, stream, maxBatch, ask)
		if err != nil {
			return fmt.Errorf("scan %s: %w", stream, err)
		}
		if more, err := visit(page); err != nil || !more {
			return err
		}
		if left := end.Get("Nats-Num-Pending"); left == "" || left == "0" || len(page) == 0 {
			return nil
		}
		ask.Seq = page[len(page)-1].seq + 1
	}
}

type directGet struct {
	MultiLast []string   `json:"multi_last,omitempty"`
	NextBy    string     `json:"next_by_subj,omitempty"`
	LastBy    string     `json:"last_by_subj,omitempty"`
	Batch     int        `json:"batch,omitzero"`
	MaxBytes  int        `json:"max_bytes,omitzero"`
	Seq       uint64     `json:"seq,omitzero"`
	StartTime *time.Time `json:"start_time,omitzero"`
}

// getDirect gets so many messages at most. It also returns the headers of the
// answer's end.
func (s *Store) getDirect(ctx context.Context, stream string, most int, ask directGet) ([]stored, nats.Header, error) {
	for tries := 1; ; tries++ {
		found, end, err := s.getDirectOnce(ctx, stream, most, ask)
		if tries == maxChanged || !errors.Is(err, errChanged) {
			return found, end, err
		}
	}
}

// errChanged is for a look-up of several messages of which one was removed, or written
// again, while the server looked: it does not send the rest then.
var errChanged = fmt.Errorf("%w: what was looked up has changed meanwhile", millrace.ErrUnavailable)

// maxChanged is how often that is asked for again.
const maxChanged = 20

func (s *Store) getDirectOnce(ctx context.Context, stream string, most int, ask directGet) ([]stored, nats.Header, error) {
	c, err := s.sendDirect(stream, most+1, ask)
	if err != nil {
		return nil, nil, err
	}
	defer c.close()
	var found []stored
	for {
		m, err := c.answer(ctx)
		if err != nil {
			return nil, nil, err
		}
		status, description := m.Header.Get("Status"), m.Header.Get("Description")
		switch {
		case status == "":
			st, err := parseStored(m)
			if err != nil {
				return nil, nil, err
			}
			found = append(found, st)
		case status == "204", status == "404" && (len(ask.MultiLast) == 0 || description == "No Results"):
			return found, m.Header, nil
		case status == "404":
			return nil, nil, errChanged
		case status == "413":
			return nil, nil, errTooMany
		default:
			return nil, nil, fmt.Errorf("%w: %s %s", millrace.ErrUnavailable, status, description)
		}
	}
}

// sendDirect asks; so many answers may come.
func (s *Store) sendDirect(stream string, answers int, ask directGet) (*call, error) {
	body, err := encode(ask)
	if err != nil {
		return nil, err
	}
	return s.replies.send(&nats.Msg{Subject: "$JS.API.DIRECT.GET." + stream, Data: body}, answers)
}

// errTooMany is for a look-up that matches more than 1,024 subjects.
var errTooMany = errors.New("too many messages at once")

func parseStored(m *nats.Msg) (stored, error) {
	seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return stored{}, fmt.Errorf("sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return stored{}, fmt.Errorf("time stamp: %w", err)
	}
	return stored{subject: m.Header.Get("Nats-Subject"), seq: seq, time: at, data: m.Data}, nil
}
