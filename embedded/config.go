package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Config says where the server keeps its data, who can reach it, and when a write counts as durable. The zero value is a durable
// server in the user's state directory, on a free loopback port.
type Config struct {
	// DataDir is the directory that holds the store and its lock. It is created with mode 0700. An existing one that other users
	// may enter is tightened to 0700 if it is empty or holds a store already, and refused otherwise, since changing the mode of a
	// directory given by mistake (think of /tmp) would break it for its owners. Default: what DefaultDataDir returns.
	DataDir string

	// Port is the TCP port for other processes, such as the nats command: 0 picks a free one, -1 opens none. There is no
	// authentication: whoever reaches the port can read and change everything. Our own roles use InProcessConn and need no port.
	Port int

	// Host is the address that Port is opened on. Anything but a loopback address shows the store to the network, and is warned
	// about in the log. Default: 127.0.0.1.
	Host string

	// Sync is how long a write may wait before it is forced to disk: 0 syncs each write before it is acknowledged, so that a power
	// cut loses nothing; 10ms or more syncs that often in the background, and a power cut loses what came since. A crash of the
	// process loses nothing either way.
	Sync time.Duration

	// MaxStore bounds the bytes on disk; the streams' own limits are reserved out of it. 0 lets the server take three quarters of
	// the space it can have: what is free plus what it holds already.
	MaxStore int64

	// Visit is for who only looks around, or copies. It makes no orderly stop of an earlier crash: whoever runs here next is
	// still told that the server may have forgotten something.
	Visit bool

	// Logger gets the server's log: warnings and errors at their own level, its notices as debug lines, and its debug lines, if
	// wanted at all, four levels below. Default: no log.
	Logger *slog.Logger
}

const (
	// portOff is the Port of a server without a listener.
	portOff = -1

	// minSync keeps a mistyped interval from turning into a busy loop. The server halves the interval and panics at less than 2 ns.
	minSync = 10 * time.Millisecond
)

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	if err := c.validate(); err != nil {
		return Config{}, err
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.DataDir == "" {
		dir, err := DefaultDataDir()
		if err != nil {
			return Config{}, err
		}
		c.DataDir = dir
	}
	// The lock's error and the log name the directory to people who do not know our working directory.
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return Config{}, err
	}
	c.DataDir = dir
	return c, nil
}

func (c Config) validate() error {
	var errs []error
	if c.Port < portOff || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d is not a port: want 1 to 65535, 0 to pick one, or -1 for none", c.Port))
	}
	if c.Sync < 0 || (c.Sync > 0 && c.Sync < minSync) {
		errs = append(errs, fmt.Errorf("sync %v is too short: want 0 to sync every write, or %v and more", c.Sync, minSync))
	}
	if c.MaxStore < 0 {
		errs = append(errs, fmt.Errorf("max store of %d bytes is negative: want 0 for what the disk has", c.MaxStore))
	}
	return errors.Join(errs...)
}

// exposed reports whether the listener can be reached from other machines.
func (c Config) exposed() bool {
	if c.Port == portOff || c.Host == "localhost" {
		return false
	}
	ip := net.ParseIP(c.Host)
	return ip == nil || !ip.IsLoopback()
}

// DefaultDataDir returns millrace-data under the user's state directory: $XDG_STATE_HOME, or else ~/.local/state. The only error is
// that neither is known, as in a service without a home.
func DefaultDataDir() (string, error) {
	// The XDG specification wants relative paths ignored.
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "millrace-data"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the data, choose one with --data-dir: %w", err)
	}
	return filepath.Join(home, ".local", "state", "millrace-data"), nil
}
