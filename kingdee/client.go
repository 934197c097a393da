package kingdee

import (
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"golang.org/x/time/rate"

	"kdgate/internal/peer"
)

// ErrNoLogoutNotice is SignOut's answer when configuration forbids telling
// Kingdee: the Kingdee session lives on until it is idle.
var ErrNoLogoutNotice = errors.New("kingdee: sign-out notice is switched off")

// Client speaks to one data centre. It is safe for concurrent use.
type Client struct {
	cfg    Config
	base   *url.URL
	listed map[string]bool
	peer   *peer.Client
	now    func() time.Time
	log    *slog.Logger
	clock  *clock
	stamps *stamps
	alarm  *alarm

	sessions  *sessions
	loginTurn chan struct{} // one login at a time
	logins    *brake        // stops logins after a refusal
	calls     *brake        // stops calls at Kingdee's call limit
	pace      *rate.Limiter
	breaker   circuitbreaker.CircuitBreaker[any]
	retry     retrypolicy.RetryPolicy[answer]

	background bool
}

// Background is a view of the client for jobs: it shares everything with the
// client, leaves one session to people who sign in, and may wait longer for an
// answer.
func (c *Client) Background() *Client {
	view := *c
	view.background, view.peer = true, c.peer.Patient(jobAnswer)
	return &view
}

// jobAnswer is how long one answer to a job may take: a batch is slow.
const jobAnswer = time.Minute

// New checks cfg, fills its defaults and makes a client. It does not call
// Kingdee. All mistakes are reported at once, joined.
func New(cfg Config) (*Client, error) {
	cfg = withDefaults(cfg)
	base, err := validate(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, base: base, peer: cfg.Peer, now: cfg.Now, log: cfg.Logger.With("data_centre", cfg.ID),
		sessions: newSessions(concurrency(cfg.API)), loginTurn: make(chan struct{}, 1),
		logins: &brake{}, calls: &brake{}, pace: newPace(cfg.API.MinInterval), breaker: newBreaker(), retry: newRetry(),
	}
	c.stamps = &stamps{given: map[string][]int64{}}
	c.clock = &clock{now: c.now, log: c.log}
	c.alarm = newAlarm(c.log, c.now)
	if len(cfg.Users.Listed) > 0 {
		c.listed = make(map[string]bool, len(cfg.Users.Listed))
		for _, name := range cfg.Users.Listed {
			c.listed[name] = true
		}
	}
	if c.WeakHash() {
		c.log.Warn("kingdee: links are signed with SHA-1; raise link.version to 4 once the server is at 8.0.0.202205 or later")
	}
	return c, nil
}

// WeakHash reports whether any signature of this data centre uses SHA-1, for
// the health page (T34).
func (c *Client) WeakHash() bool {
	return c.cfg.Link.Hash == SHA1 || c.cfg.API.Hash == SHA1 || (c.cfg.Link.Mobile && c.cfg.Link.MobileHash == SHA1)
}

// concurrency is how many calls run at once: one for each session, and with
// signed headers, which need none, as many as configured.
func concurrency(api APIConfig) int {
	if api.Auth == AuthSignedHeaders {
		return api.MaxConcurrency
	}
	return min(api.MaxSessions, api.MaxConcurrency)
}

func newPace(interval time.Duration) *rate.Limiter {
	if interval <= 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	return rate.NewLimiter(rate.Every(interval), 1)
}
