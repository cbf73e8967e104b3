package streams

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// Access is how this client tells the broker who it is, and how it knows the broker. The
// zero value is for one that asks nobody, or whose user and password are in the URL.
type Access struct {
	// User and Password go together.
	User, Password string
	// CredsFile has a JWT and its seed, as "nsc generate creds" writes it. It is read
	// again for each connection.
	CredsFile string
	// NKeyFile has the seed of an nkey.
	NKeyFile string
	// CAFile has the certificates of whoever signs for the broker. Empty means the
	// system's, and no TLS unless the URL or the broker asks for it.
	CAFile string
	// CertFile and KeyFile are this client's own certificate and its key.
	CertFile, KeyFile string
	// Inbox is what the subjects begin with on which this client is answered. The broker
	// can so let each client hear its own answers only. Empty means "_INBOX".
	Inbox string
}

func (a Access) validate() error {
	var errs []error
	ways := 0
	for _, way := range []string{a.User, a.CredsFile, a.NKeyFile} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("of a user, credentials and an nkey only one can tell the broker who this is"))
	}
	if (a.User == "") != (a.Password == "") {
		errs = append(errs, errors.New("a user of the broker needs a password, and a password a user"))
	}
	if (a.CertFile == "") != (a.KeyFile == "") {
		errs = append(errs, errors.New("a certificate for the broker needs its key, and a key its certificate"))
	}
	return errors.Join(errs...)
}

// options are what the client is told of it. Files are read, so that what is wrong with
// one is known before anybody is dialled.
func (a Access) options() ([]nats.Option, error) {
	// Who is refused tries again, as if nobody were there: passwords are changed on the
	// broker and here one after the other.
	opts := []nats.Option{nats.IgnoreAuthErrorAbort()}
	if a.User != "" {
		opts = append(opts, nats.UserInfo(a.User, a.Password))
	}
	if a.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(a.CredsFile))
	}
	if a.NKeyFile != "" {
		nkey, err := nats.NkeyOptionFromSeed(a.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("nkey %s: %w", a.NKeyFile, err)
		}
		opts = append(opts, nkey)
	}
	if a.CAFile != "" {
		opts = append(opts, nats.RootCAs(a.CAFile))
	}
	if a.CertFile != "" {
		opts = append(opts, nats.ClientCert(a.CertFile, a.KeyFile))
	}
	if a.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(a.Inbox))
	}
	return opts, nil
}

// Redacted is where the servers are, without their passwords.
func Redacted(urls string) string {
	servers := strings.Split(urls, ",")
	for i, s := range servers {
		if u, err := url.Parse(strings.TrimSpace(s)); err == nil && u.User != nil {
			u.User = url.User("redacted")
			servers[i] = u.String()
		}
	}
	return strings.Join(servers, ",")
}
