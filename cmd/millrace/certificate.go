package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is what the API proves with who it is. Its files are looked at when a
// client comes, every few seconds at most: so one that was renewed is used without a
// restart, and as long as the files are no pair, as between the writing of one and of the
// other, the one before goes on, and the log says once why.
type certificate struct {
	cert, key string // paths
	log       *slog.Logger

	mu              sync.Mutex
	pair            *tls.Certificate
	looked          time.Time
	certAge, keyAge time.Time
	complaint       string // what was said last of files that are not good
}

// lookEvery is how often the files are looked at.
const lookEvery = 5 * time.Second

// read takes the files as they are.
func (c *certificate) read() error {
	certAge, keyAge, err := c.ages()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	c.pair, c.certAge, c.keyAge, c.looked = &pair, certAge, keyAge, time.Now()
	return nil
}

func (c *certificate) ages() (cert, key time.Time, err error) {
	one, err := os.Stat(c.cert)
	if err != nil {
		return cert, key, fmt.Errorf("--tls-cert: %w", err)
	}
	other, err := os.Stat(c.key)
	if err != nil {
		return cert, key, fmt.Errorf("--tls-key: %w", err)
	}
	return one.ModTime(), other.ModTime(), nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < lookEvery {
		return c.pair, nil
	}
	c.looked = time.Now()
	cert, key, err := c.ages()
	if err == nil && (!cert.Equal(c.certAge) || !key.Equal(c.keyAge)) {
		if err = c.read(); err == nil {
			c.log.Info("the certificate was renewed")
		}
	}
	c.complain(err)
	return c.pair, nil
}

// complain says that the pair before goes on, and why. It says the same once, until the
// files are good again.
func (c *certificate) complain(err error) {
	if err == nil {
		c.complaint = ""
		return
	}
	if words := err.Error(); words != c.complaint {
		c.complaint = words
		c.log.Error("the new certificate is not good, so the one before goes on: write both files anew", "error", err)
	}
}
