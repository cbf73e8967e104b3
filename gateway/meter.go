package gateway

import (
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// meter holds a key to its limits, in this process: so many requests a second, as many
// of them at once as come in a second, and so many under way. A nil one has no limits.
type meter struct {
	rate, most int // zero: no limit

	mu       sync.Mutex
	tokens   float64
	at       time.Time // when there were so many
	underWay int
}

// enter counts a request in, or refuses it with a *problem. It says what is left, by the
// IETF's draft of RateLimit headers.
func (m *meter) enter(c *fiber.Ctx) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.most > 0 && m.underWay >= m.most {
		return tooMany(fmt.Sprintf("This key may have %d requests under way at once.", m.most), time.Second)
	}
	if m.rate > 0 {
		now := time.Now()
		if m.at.IsZero() {
			m.tokens = float64(m.rate)
		} else {
			m.tokens = min(float64(m.rate), m.tokens+now.Sub(m.at).Seconds()*float64(m.rate))
		}
		m.at = now
		c.Set("RateLimit-Policy", fmt.Sprintf(`"key";q=%d;w=1`, m.rate))
		left := max(0, int(m.tokens)-1)
		c.Set("RateLimit", fmt.Sprintf(`"key";r=%d;t=%d`, left, int(math.Ceil((float64(m.rate)-m.tokens)/float64(m.rate)))))
		if m.tokens < 1 {
			return tooMany(fmt.Sprintf("This key may send %d requests a second.", m.rate), time.Second)
		}
		m.tokens--
	}
	m.underWay++
	return nil
}

func (m *meter) leave() {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.underWay--
	m.mu.Unlock()
}

func tooMany(detail string, again time.Duration) *problem {
	p := newProblem(http.StatusTooManyRequests, detail+" Come again after Retry-After.")
	p.Type, p.Title, p.retryAfter = problemType("too-many-requests"), "Too many requests", again
	return p
}
