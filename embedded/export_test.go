package embedded

import "github.com/nats-io/nats-server/v2/server"

// StoreConfig is what the running server made of our options.
func (s *Server) StoreConfig() *server.JetStreamConfig {
	return s.nats.JetStreamConfig()
}
