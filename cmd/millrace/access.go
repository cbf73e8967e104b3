package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"millrace/streams"
)

// brokerFlags say where the broker is, and who asks. All processes of a machine see what
// is on a command line, but not what is in a file, or in the environment.
type brokerFlags struct {
	NATS             string `name:"nats" help:"The NATS servers, comma separated." default:"nats://127.0.0.1:4222"`
	NATSUser         string `name:"nats-user" help:"The user that this role is for the NATS servers." placeholder:"NAME"`
	NATSPassword     string `name:"nats-password" help:"That user's password. Safer in the environment, or in a file." placeholder:"PASSWORD"`
	NATSPasswordFile string `name:"nats-password-file" help:"A file with the password." placeholder:"FILE"`
	NATSCreds        string `name:"nats-creds" help:"A file with a JWT and its seed, instead of a user." placeholder:"FILE"`
	NATSNKey         string `name:"nats-nkey" help:"A file with the seed of an nkey, instead of a user." placeholder:"FILE"`
	NATSCA           string `name:"nats-ca" help:"A file with the certificates of whoever signs for the NATS servers (default: the system's)." placeholder:"FILE"`
	NATSCert         string `name:"nats-cert" help:"A file with a certificate for the NATS servers to know this role by." placeholder:"FILE"`
	NATSKey          string `name:"nats-key" help:"A file with the key of that certificate." placeholder:"FILE"`
}

// redacted is where the servers are, without their passwords.
func (f brokerFlags) redacted() string { return streams.Redacted(f.NATS) }

// access is how a role tells the broker who it is. Each role is answered under a subject
// of its own, whoever it says that it is.
func (f brokerFlags) access(role string) (streams.Access, error) {
	a := streams.Access{
		User: f.NATSUser, Password: f.NATSPassword, CredsFile: f.NATSCreds, NKeyFile: f.NATSNKey,
		CAFile: f.NATSCA, CertFile: f.NATSCert, KeyFile: f.NATSKey, Inbox: "_INBOX." + role,
	}
	if f.NATSPasswordFile == "" {
		return a, nil
	}
	if f.NATSPassword != "" {
		return a, errors.New("--nats-password-file: there is --nats-password as well; say one of them")
	}
	data, err := os.ReadFile(f.NATSPasswordFile)
	if err != nil {
		return a, fmt.Errorf("--nats-password-file: %w", err)
	}
	if a.Password = strings.TrimSpace(string(data)); a.Password == "" {
		return a, fmt.Errorf("--nats-password-file: %s is empty", f.NATSPasswordFile)
	}
	return a, nil
}
