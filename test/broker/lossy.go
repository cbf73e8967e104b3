package broker

import (
	"net"
	"sync"
)

// Lossy is a way to the broker on which some of what is published gets lost.
type Lossy struct {
	*Broker

	mu   sync.Mutex
	drop func(subject string) bool
}

// Lose loses from now on what is published where drop says so; nil for nothing.
func (l *Lossy) Lose(drop func(subject string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop = drop
}

// InProcessConn connects through it.
func (l *Lossy) InProcessConn() (net.Conn, error) {
	conn, err := l.Broker.InProcessConn()
	if err != nil {
		return nil, err
	}
	return &publishing{Conn: conn, pass: l.pass}, nil
}

func (l *Lossy) pass(subject string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return subject == "" || l.drop == nil || !l.drop(subject), nil
}
