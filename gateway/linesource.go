package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// rawLine is a line as it came, or why it is not taken.
type rawLine struct {
	number int // from 1
	text   []byte
	err    error
}

// lineSource reads lines from a body: many at once where many are there, and a single
// one at once where the next takes its time.
type lineSource struct {
	in      *bufio.Reader
	left    int64 // bytes that the body may still have
	limit   int64
	maxLine int
	number  int
}

func newLineSource(body io.Reader, limit int64, maxLine int) *lineSource {
	return &lineSource{in: bufio.NewReaderSize(body, maxParcelBytes), left: limit, limit: limit, maxLine: maxLine}
}

// errBrokenOff is for a body of which the rest does not come.
var errBrokenOff = errors.New("the body is broken off")

// endOfLines says why the lines from one on are not read.
type endOfLines struct {
	line int
	err  error
}

// Error says why.
func (e *endOfLines) Error() string { return e.err.Error() }

// Unwrap gives why.
func (e *endOfLines) Unwrap() error { return e.err }

// next returns the lines that are there, blank ones left out, and whether there may be
// more. An error says why not, beyond that the body has ended: it is errBrokenOff or an
// endOfLines.
func (s *lineSource) next() (lines []rawLine, err error, more bool) { //nolint:revive // the error is no failure of next
	var slab []byte
	for size := 0; ; {
		start := len(slab)
		line, slab2, readErr := s.line(slab)
		slab = slab2
		size += len(slab) - start
		if line != nil {
			lines = append(lines, *line)
		}
		if readErr != nil {
			if errors.Is(readErr, io.EOF) {
				readErr = nil
			}
			return lines, readErr, false
		}
		if len(lines) == maxParcelLines || size >= maxParcelBytes || !s.lineIsThere() {
			return lines, nil, true
		}
	}
}

func (s *lineSource) lineIsThere() bool {
	there, _ := s.in.Peek(s.in.Buffered())
	return bytes.IndexByte(there, '\n') >= 0
}

// line reads a line and puts its text behind slab. It returns nil for a blank one.
func (s *lineSource) line(slab []byte) (*rawLine, []byte, error) {
	s.number++
	start, length := len(slab), 0
	for {
		part, err := s.in.ReadSlice('\n')
		if s.left -= int64(len(part)); s.left < 0 {
			return nil, slab[:start], &endOfLines{s.number, tooLarge(int(s.limit))}
		}
		length += len(part)
		if length <= s.maxLine+2 { // with its end
			slab = append(slab, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			// What came of the line is no line.
			if errors.Is(err, errStreamStopped) {
				return nil, slab[:start], &endOfLines{s.number, err}
			}
			return nil, slab[:start], fmt.Errorf("%w: %w", errBrokenOff, err)
		}
		text := bytes.TrimSpace(slab[start:])
		if s.number == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		switch {
		case length > s.maxLine+2 || len(text) > s.maxLine:
			return &rawLine{number: s.number, err: tooLong(s.maxLine)}, slab[:start], err
		case len(text) == 0:
			return nil, slab[:start], err
		}
		return &rawLine{number: s.number, text: text}, slab, err
	}
}

func tooLong(maxLine int) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("A line may have %d bytes at most.", maxLine))
}
