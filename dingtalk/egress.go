package dingtalk

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"golang.org/x/time/rate"
)

// breaker is a circuit breaker that is told of outcomes by hand.
type breaker = circuitbreaker.CircuitBreaker[any]

// EgressConfig bounds the calls of one outgoing address. Zero values take the
// vendor's figures.
type EgressConfig struct {
	Calls  int           // most calls in Window, default 8,000: 80 % of the vendor's 10,000 (R21)
	Window time.Duration // default 20 s
	Ban    time.Duration // silence after the ban page, default 5 min
}

// Egress is what all clients behind one outgoing address share: DingTalk
// counts and bans addresses, not applications. It is safe for concurrent use.
type Egress struct {
	rate *rate.Limiter
	ban  breaker
}

// NewEgress makes the shared state of one outgoing address.
func NewEgress(cfg EgressConfig) *Egress {
	if cfg.Calls <= 0 {
		cfg.Calls = 8000
	}
	if cfg.Window <= 0 {
		cfg.Window = 20 * time.Second
	}
	if cfg.Ban <= 0 {
		cfg.Ban = 5 * time.Minute
	}
	// Burst and steady rate together stay under the bound in every window.
	burst := max(1, cfg.Calls/20)
	perSecond := float64(cfg.Calls-burst) / cfg.Window.Seconds()
	return &Egress{
		rate: rate.NewLimiter(rate.Limit(max(perSecond, 1/cfg.Window.Seconds())), burst),
		ban: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(1).WithSuccessThreshold(1).WithDelay(cfg.Ban).Build(),
	}
}

// BannedFor is how long this address stays silent, zero when it does not.
func (e *Egress) BannedFor() time.Duration { return e.ban.RemainingDelay() }

// newHostBreaker opens when a host cannot be reached and lets one call in five
// seconds find out whether it is back (R23, R26).
func newHostBreaker() breaker {
	return circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(3).WithSuccessThreshold(1).WithDelay(5 * time.Second).Build()
}
