// Package embedded runs a NATS server with JetStream inside our own process, so that one binary needs no broker beside it.
//
// [Start] opens a data directory and returns a [Server] that is ready for connections; [Server.Shutdown] ends it with all on disk.
// Our own roles connect through memory:
//
//	nats.Connect("", nats.InProcessServer(server))
//
// and other processes, such as the nats command, through [Server.ClientURL]. A data directory has one server at a time: a second one
// gets a [LockedError]. Every write is on disk before it is acknowledged, unless [Config] says otherwise.
//
// It also runs inside a testing/synctest bubble, and an hour of redeliveries takes milliseconds: call ats.Register of the server's
// package server/ats outside the bubble first, and start with Port -1. TestBubble shows how.
//
// Start reading at start, below; options.go is what we ask of the server, and recovery.go what we do not take its word for.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// progressEvery is how often a start that takes long, since the store is large or damaged, says that it is alive.
	progressEvery = 10 * time.Second

	// unwindFor is how long a cancelled Start waits for the server to stop before it leaves that to the background.
	unwindFor = 5 * time.Second
)

// Server is a running NATS server. Use Start to get one.
type Server struct {
	nats   *server.Server
	config Config
	lock   *dirLock
	clean  bool // the store was left in order
	ready  bool // it has been read wholly
	stop   sync.Once
}

// Start opens the data directory and returns when the server is ready for connections, which is in milliseconds for a small store
// and about a second for a million messages.
//
// ctx bounds the start only. When it is done first, Start stops what it began and returns the cause; if the server does not stop
// within 5 seconds, because it still reads the store or the disk hangs, that goes on in the background, and so does the lock.
//
// The error is a *LockedError if another server has the directory open, and wraps syscall.EADDRINUSE if the port is taken. A store of
// which a part cannot be read is an error too; it is left as it is.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	s, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the embedded server: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	began := time.Now()
	s, log, err := open(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.launch(ctx); err != nil {
		return nil, err
	}
	if err := s.check(log); err != nil {
		s.Shutdown()
		return nil, err
	}
	s.ready = true
	cfg = s.config
	if cfg.exposed() {
		cfg.Logger.Warn("the NATS port has no authentication and can be reached from other machines", "host", cfg.Host)
	}
	cfg.Logger.Info("embedded server ready", "dir", cfg.DataDir, "url", s.ClientURL(), "sync", syncName(cfg.Sync),
		"took", time.Since(began).Round(time.Millisecond))
	return s, nil
}

// open takes the data directory, and makes a server for it that is not started.
func open(cfg Config) (*Server, *serverLog, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, nil, err
	}
	if err := prepareDir(cfg.DataDir, cfg.Logger); err != nil {
		return nil, nil, err
	}
	lock, err := lockDir(cfg.DataDir, cfg.Logger)
	if err != nil {
		return nil, nil, err
	}
	clean, err := takeClean(cfg.DataDir)
	if err != nil {
		return nil, nil, errors.Join(err, lock.release())
	}
	nats, err := server.NewServer(cfg.options())
	if err != nil {
		return nil, nil, errors.Join(err, lock.release())
	}
	log := &serverLog{log: cfg.Logger.With("component", "nats-server")}
	nats.SetLoggerV2(log, cfg.Logger.Enabled(context.Background(), levelTrace), false, false)
	return &Server{nats: nats, config: cfg, lock: lock, clean: clean}, log, nil
}

// launch starts the server, or stops it again when ctx is done first.
func (s *Server) launch(ctx context.Context) error {
	began := time.Now()
	started := make(chan struct{})
	go func() {
		s.nats.Start()
		close(started)
	}()

	progress := time.NewTicker(progressEvery)
	defer progress.Stop()
	for {
		select {
		case <-started:
			// Whoever gave up will not shut down what we return.
			if ctx.Err() != nil {
				s.Shutdown()
				return context.Cause(ctx)
			}
			return nil
		case <-ctx.Done():
			s.unwind(started)
			return context.Cause(ctx)
		case <-progress.C:
			s.config.Logger.Info("still reading the store", "dir", s.config.DataDir, "for", time.Since(began).Round(time.Second))
		}
	}
}

// unwind shuts down a server that is starting. It lets the start come to its end first, since the server does not expect to be
// stopped while it reads its store.
func (s *Server) unwind(started <-chan struct{}) {
	stopped := make(chan struct{})
	go func() {
		<-started
		s.Shutdown()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(unwindFor):
	}
}

// check tells whether the server, which has no error to return, did start, and with all of the store.
func (s *Server) check(log *serverLog) error {
	err := log.failure()
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d of %s is in use: choose another --nats-port, 0 to pick a free one, or off for none: %w",
			s.config.Port, s.config.Host, errors.Unwrap(err))
	case err != nil:
		return err
	}
	return checkRecovered(s.nats)
}

// InProcessConn connects to the server through memory, without a socket. It makes a Server a nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) {
	return s.nats.InProcessConn()
}

// Remembers reports whether the server knows of every delivery that was ever made: its data directory was left by an orderly
// [Server.Shutdown], or is new. After a crash it has forgotten the last ones.
func (s *Server) Remembers() bool { return s.clean }

// ClientURL is where other processes connect, or "" if the listener is off.
func (s *Server) ClientURL() string {
	if s.config.Port == portOff {
		return ""
	}
	return s.nats.ClientURL()
}

// Shutdown disconnects all clients, brings the store to disk and lets go of the data directory. Close what uses the server first.
// Any further call waits for the first to end.
func (s *Server) Shutdown() {
	s.stop.Do(func() {
		s.nats.Shutdown()
		s.nats.WaitForShutdown()
		// A server that syncs each write does not sync what it remembers of its consumers.
		err := flushTree(filepath.Join(s.config.DataDir, storeName))
		if err == nil && (s.ready && !s.config.Visit || s.clean) {
			err = putClean(s.config.DataDir)
		}
		if err != nil {
			s.config.Logger.Error("the store was not brought to disk: a power cut may lose the last writes", "err", err)
		}
		if err := s.lock.release(); err != nil {
			s.config.Logger.Error("the lock of the data directory was not released cleanly", slog.Any("err", err))
		}
	})
}

func syncName(every time.Duration) string {
	if every == 0 {
		return "always"
	}
	return every.String()
}
