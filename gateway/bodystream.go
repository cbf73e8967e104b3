package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// A body that is read as it comes. fasthttp reads bodies before it calls a handler,
// all of them or none, and all of them is what the rest of the API wants. So the one
// request whose body is to be left alone is told from the others when its head is
// there: its body is hidden from fasthttp, which goes on as if there were none, and
// its handler takes the connection over, with what is still to be read on it.
//
// The connection is of no use for another request then, and ends with the answer,
// whatever that is.
const bulkPath = "/v1/tasks/bulk"

// hiddenBody is the header in which a request has what its head said of its body. No
// client can send it: where it is looked at, it was set here.
const hiddenBody = "X-Millrace-Hidden-Body"

// bodyHead is what the head of a request says of its body.
type bodyHead struct {
	length int64 // -1: it comes in chunks
	asked  bool  // whether it is to be sent (Expect: 100-continue)
}

func isStreamed(h *fasthttp.RequestHeader) bool {
	path, _, _ := bytes.Cut(h.RequestURI(), []byte("?"))
	return h.IsPost() && string(path) == bulkPath
}

// leaveToStream hides the body of a request that is to be streamed.
func leaveToStream(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if !isStreamed(h) {
		return fasthttp.RequestConfig{}
	}
	said := strconv.Itoa(max(h.ContentLength(), -1))
	if h.ContentLength() < -1 {
		said = "0"
	}
	if strings.EqualFold(string(h.Peek(fiber.HeaderExpect)), "100-continue") {
		said += " asked"
	}
	h.Del(fiber.HeaderExpect)
	h.SetContentLength(0)
	h.Set(hiddenBody, said)
	return fasthttp.RequestConfig{}
}

// hiddenBodyOf returns what was hidden; ok is false if the body was read.
func hiddenBodyOf(h *fasthttp.RequestHeader) (head bodyHead, ok bool) {
	if !isStreamed(h) {
		return head, false
	}
	said, asked := strings.CutSuffix(string(h.Peek(hiddenBody)), " asked")
	length, err := strconv.ParseInt(said, 10, 64)
	return bodyHead{length, asked}, err == nil
}

// hasBody is whether a request has any, read or not.
func hasBody(req *fasthttp.Request) bool {
	head, hidden := hiddenBodyOf(&req.Header)
	return hidden && head.length != 0 || len(req.Body()) > 0
}

// streaming is around Fiber: where nobody has taken a hidden body, the connection
// ends.
func streaming(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		head, hidden := hiddenBodyOf(&ctx.Request.Header)
		if !hidden {
			next(ctx)
			return
		}
		ctx.Request.Header.SetConnectionClose()
		next(ctx)
		ctx.SetConnectionClose()
		if !ctx.Hijacked() && head.length != 0 {
			leaveUnread(ctx.Conn())
		}
	}
}

// streamPatience is how long a streamed request may be silent, or take nothing.
const streamPatience = 30 * time.Second

// bodyStream is a request whose body is read, and whose answer is written, as they
// come.
type bodyStream struct {
	io.Reader // of the body, until io.EOF; io.ErrUnexpectedEOF if it is cut off
	conn      net.Conn
	reading   context.Context
	giveUp    context.CancelFunc // to read
	head      []byte
	chunked   bool

	started bool
	out     io.WriteCloser
}

// streamBody hands the request and its answer to serve, in a goroutine of its own. The
// head of the answer is sent with its first bytes.
//
// Reading ends when stopping does.
func (x *exchange) streamBody(stopping context.Context, serve func(*bodyStream)) {
	head, hidden := hiddenBodyOf(&x.http.Request.Header)
	s := &bodyStream{conn: x.http.Conn(), chunked: x.http.Request.Header.IsHTTP11()}
	header := &x.http.Response.Header
	header.SetConnectionClose()
	if s.chunked {
		header.SetContentLength(-1)
	} else {
		header.SetContentLength(-2)
	}
	s.head = bytes.Clone(header.Header())
	read := bytes.Clone(x.http.Request.Body())
	x.http.HijackSetNoResponse(true)
	x.http.Hijack(func(conn net.Conn) { // which has what was read too far, and is for reading only
		var body io.Reader = &patientReader{s, conn}
		switch {
		case !hidden:
			body = bytes.NewReader(read)
		case head.length >= 0:
			body = &lengthReader{body, head.length}
		default:
			body = httputil.NewChunkedReader(body)
		}
		if hidden && head.asked {
			body = &askingReader{Reader: body, conn: s.conn}
		}
		s.Reader = body
		defer leaveUnread(s.conn)
		s.reading, s.giveUp = context.WithCancel(stopping)
		defer s.giveUp()
		defer context.AfterFunc(s.reading, func() { _ = s.conn.SetReadDeadline(time.Now()) })()
		serve(s)
	})
}

// Write writes a part of the answer, as a chunk.
func (s *bodyStream) Write(p []byte) (int, error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return 0, err
	}
	if !s.started {
		s.started = true
		if _, err := s.conn.Write(s.head); err != nil {
			return 0, err
		}
		s.out = plainWriter{s.conn}
		if s.chunked {
			s.out = httputil.NewChunkedWriter(s.conn)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return s.out.Write(p)
}

// refuse answers with a problem, instead of all else.
func (s *bodyStream) refuse(p *problem) error {
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI(bulkPath)
	p.write(&ctx)
	ctx.Response.SetConnectionClose()
	if err := s.conn.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return err
	}
	s.started, s.chunked, s.out = true, false, plainWriter{s.conn}
	_, err := ctx.Response.WriteTo(s.conn)
	return err
}

// end says that the answer is whole. Without it the client sees that it is not.
func (s *bodyStream) end() error {
	if _, err := s.Write(nil); err != nil {
		return err
	}
	if err := s.out.Close(); err != nil || !s.chunked {
		return err
	}
	_, err := io.WriteString(s.conn, "\r\n")
	return err
}

type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// patientReader waits for each part of the body for so long, or until the gateway
// stops, which ends the read that is under way by its deadline.
type patientReader struct {
	stream *bodyStream
	conn   io.Reader
}

func (r *patientReader) Read(p []byte) (int, error) {
	if err := r.stream.conn.SetReadDeadline(time.Now().Add(streamPatience)); err != nil {
		return 0, err
	}
	if r.stream.reading.Err() != nil {
		return 0, errStreamStopped
	}
	n, err := r.conn.Read(p)
	if err != nil && r.stream.reading.Err() != nil {
		err = errStreamStopped
	}
	return n, err
}

var errStreamStopped = fmt.Errorf("the gateway stops: %w", context.Canceled)

// lengthReader reads so many bytes, and knows whether some are missing.
type lengthReader struct {
	io.Reader
	left int64
}

func (r *lengthReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, io.EOF
	}
	n, err := r.Reader.Read(p[:min(int64(len(p)), r.left)])
	if r.left -= int64(n); err == io.EOF && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// askingReader lets the client send the body once somebody reads it.
type askingReader struct {
	io.Reader
	conn  net.Conn
	asked bool
}

func (r *askingReader) Read(p []byte) (int, error) {
	if !r.asked {
		r.asked = true
		if _, err := io.WriteString(r.conn, "HTTP/1.1 "+strconv.Itoa(http.StatusContinue)+" Continue\r\n\r\n"); err != nil {
			return 0, err
		}
	}
	return r.Reader.Read(p)
}

// self is x, also where it has another context.
func (x *exchange) self() *exchange { return x }
