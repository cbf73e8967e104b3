package embedded

import "github.com/nats-io/nats-server/v2/server"

// options is all that we ask of the server; what is not named here keeps the server's default, among them payloads of up to 1 MiB
// (a task has 256 KiB) and no monitoring port.
func (c Config) options() *server.Options {
	opts := &server.Options{
		// One data directory is one server, so the name need not tell hosts apart; a host name would change with each container.
		ServerName: "millrace",
		Host:       c.Host,
		Port:       c.Port,
		DontListen: c.Port == portOff,

		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               c.DataDir, // the server itself adds "jetstream"
		JetStreamMaxStore:      c.MaxStore,
		SyncAlways:             c.Sync == 0,
		SyncInterval:           c.Sync,

		// Signals belong to the command, which stops the roles before the server.
		NoSigs: true,
	}
	if c.Port == 0 {
		opts.Port = server.RANDOM_PORT // the server's own 0 means 4222
	}
	return opts
}
