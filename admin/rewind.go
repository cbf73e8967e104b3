package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jsm.go/backup"
	"github.com/nats-io/nats.go/jetstream"

	"millrace"
)

// consumerState is what the server keeps of a consumer.
type consumerState struct {
	Delivered pair                  `json:"delivered"`
	AckFloor  pair                  `json:"ack_floor"`
	Pending   map[uint64]*delivered `json:"pending,omitempty"`
}

type pair struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

type delivered struct{ Sequence, Timestamp uint64 }

// acked reports whether the consumer was done with what is at seq.
func (s consumerState) acked(seq uint64) bool {
	return seq <= s.AckFloor.Stream || seq <= s.Delivered.Stream && s.Pending[seq] == nil
}

// logged is a task in the copy of a log that may have been finished before the records
// were copied.
type logged struct {
	seq  uint64
	at   int64 // when it was written
	done bool
}

// log is the copy of a queue's log.
type log struct {
	path  string
	state consumerState
	tasks map[string]*logged // by id
}

// recordsKeep is for how long a final record is kept at least: whoever has none, and was
// written later than that, is not finished.
const recordsKeep = time.Hour

// rewindAll puts the consumers in the copies of the logs back to where they were when the
// records were copied.
func (b *Broker) rewindAll(ctx context.Context, dir string, at map[string]position) error {
	logs := map[string]*log{}
	ids := map[string]*logged{}
	for name, p := range at {
		l, err := readLog(filepath.Join(dir, name), p)
		if err != nil {
			return fmt.Errorf("backup: stream %s: %w", name, err)
		}
		logs[name] = l
		maps.Copy(ids, l.tasks)
	}
	recorded, err := markDone(filepath.Join(dir, recordsStream), ids)
	if err != nil {
		return fmt.Errorf("backup: stream %s: %w", recordsStream, err)
	}
	for name, l := range logs {
		if err := b.markForgotten(ctx, l, recorded); err != nil {
			return err
		}
		if err := l.rewind(at[name]); err != nil {
			return fmt.Errorf("backup: stream %s: %w", name, err)
		}
	}
	return nil
}

// scan reads an archive, and ends with the first error of see.
func scan(dir string, see func(backup.Item) error) error {
	f, err := os.Open(filepath.Join(dir, backup.DataFile))
	if err != nil {
		return err
	}
	defer f.Close()
	d := backup.NewDecoder(f)
	for {
		item, err := d.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := see(item); err != nil {
			return err
		}
	}
}

// readLog reads where the consumer of a log is, and which tasks are in question.
func readLog(dir string, p position) (*log, error) {
	l := &log{path: dir, tasks: map[string]*logged{}}
	return l, scan(dir, func(item backup.Item) error {
		switch i := item.(type) {
		case *backup.Consumer:
			if i.Name != ourConsumer {
				return nil
			}
			var c struct{ State consumerState }
			if err := json.Unmarshal(i.Data, &c); err != nil {
				return fmt.Errorf("consumer %s: %w", i.Name, err)
			}
			l.state = c.State
		case *backup.Message:
			if i.Seq > p.floor && i.Seq <= p.delivered {
				l.tasks[i.Subject[strings.LastIndexByte(i.Subject, '.')+1:]] = &logged{seq: i.Seq, at: i.Ts}
			}
		}
		return nil
	})
}

// markDone marks the tasks whose record is final in the copy. One that was redriven since
// is newer than its record. It returns which have a record at all.
func markDone(dir string, ids map[string]*logged) (map[string]bool, error) {
	recorded := map[string]bool{}
	return recorded, scan(dir, func(item backup.Item) error {
		m, is := item.(*backup.Message)
		if !is {
			return nil
		}
		id := strings.TrimPrefix(m.Subject, recordsPrefix)
		task := ids[id]
		if task == nil || m.PayloadSize == 0 {
			return nil
		}
		body, err := io.ReadAll(m.Body)
		if err != nil {
			return err
		}
		var record struct{ State millrace.State }
		if err := json.Unmarshal(body[m.HdrSize:], &record); err != nil {
			return fmt.Errorf("record of %s: %w", id, err)
		}
		recorded[id] = true
		task.done = record.State.Final() && m.Ts >= task.at
		return nil
	})
}

// markForgotten marks the tasks that were done so long ago that their records have
// expired: behind them is one that is not. Whose record is there now was finished after
// the records were copied.
func (b *Broker) markForgotten(ctx context.Context, l *log, recorded map[string]bool) error {
	for id, task := range l.tasks {
		if task.done || recorded[id] || !l.state.acked(task.seq) || time.Since(time.Unix(0, task.at)) < recordsKeep {
			continue
		}
		stream, err := b.js.Stream(ctx, recordsStream)
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		_, err = stream.GetLastMsgForSubject(ctx, recordsPrefix+id)
		task.done = errors.Is(err, jetstream.ErrMsgNotFound)
		if err != nil && !task.done {
			return fmt.Errorf("backup: record of %s: %w", id, err)
		}
	}
	return nil
}

// at is where the consumer is to go on: what is not done was delivered, and is
// delivered again.
func (l *log) at(p position) consumerState {
	s := consumerState{AckFloor: pair{min(l.state.AckFloor.Consumer, p.floor), p.floor}, Pending: map[uint64]*delivered{}}
	var left []uint64
	for _, t := range l.tasks {
		if !t.done {
			left = append(left, t.seq)
		}
	}
	slices.Sort(left)
	s.Delivered = pair{s.AckFloor.Consumer + uint64(len(left)), p.delivered}
	if len(left) == 0 {
		s.AckFloor = s.Delivered
		return s
	}
	s.AckFloor.Stream = left[0] - 1
	for i, seq := range left {
		s.Pending[seq] = &delivered{s.AckFloor.Consumer + 1 + uint64(i), uint64(time.Now().UnixNano())}
	}
	return s
}

// rewind writes the copy anew, with the consumer at the right place.
func (l *log) rewind(p position) (err error) {
	path := filepath.Join(l.path, backup.DataFile)
	out, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buffered := bufio.NewWriterSize(out, 1<<20)
	enc := backup.NewEncoder(buffered)
	err = scan(l.path, func(item backup.Item) error {
		switch i := item.(type) {
		case *backup.State:
			return enc.WriteState(i.Ts, i.State)
		case *backup.Consumer:
			data, err := l.moved(i, p)
			if err != nil {
				return err
			}
			return enc.WriteConsumer(i.Name, i.Ts, data)
		case *backup.Message:
			return enc.WriteMessage(i)
		}
		return enc.WriteEnd()
	})
	if err = errors.Join(err, enc.Close()); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// moved is a consumer as the copy is to have it. Others than ours stay where they were.
func (l *log) moved(c *backup.Consumer, p position) ([]byte, error) {
	if c.Name != ourConsumer {
		return c.Data, nil
	}
	var parts map[string]json.RawMessage
	err := json.Unmarshal(c.Data, &parts)
	if err == nil {
		parts["state"], err = json.Marshal(l.at(p))
	}
	if err != nil {
		return nil, fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	return json.Marshal(parts)
}
