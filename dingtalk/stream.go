package dingtalk

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"kdgate/identity"
	"kdgate/internal/sleep"
)

var opStream = operation{
	name: "streamopen", host: newHost, path: "/v1.0/gateway/connections/open", auth: authNone,
}

// EventHandler takes an event in charge. It returns nil when the event is
// where a crash cannot lose it: only then is DingTalk told, which never sends
// an acknowledged event again. An error asks for the event once more. It is
// called from several goroutines and has AckWithin to decide.
type EventHandler func(ctx context.Context, e Event) error

// StreamConfig bounds one event stream. Zero values take the defaults named.
type StreamConfig struct {
	Workers   int           // events in the handler at once, default 16; others wait their turn
	Queue     int           // events taken and not yet answered, default 1,024; more are asked for later
	AckWithin time.Duration // default 2.5 s: the vendor waits 3 s
	Ping      time.Duration // silence after which the connection is tried, default 30 s
	Pong      time.Duration // wait for the answer to that, default 5 s
	Linger    time.Duration // longest life after the vendor has said goodbye, default 15 s
	FirstWait time.Duration // back-off: first wait, doubled each time, default 1 s
	MaxWait   time.Duration // back-off: longest wait, default 60 s
	Steady    time.Duration // a connection that lived so long ends the back-off, default 30 s
	UserAgent string        // name-sdk-lang/version, default "kdgate-sdk-go/1"
}

// Stream receives the events of one application over web sockets that it opens
// itself, so that no port need be open to the outside (reference 6.6).
type Stream struct {
	client  *Client
	cfg     StreamConfig
	log     *slog.Logger
	running atomic.Bool

	mu     sync.Mutex
	status StreamStatus
}

// StreamStatus is how a stream stands.
type StreamStatus struct {
	Connections int       // open now; two for a moment while one replaces another
	Since       time.Time // when that number last became more than zero
	LastFrame   time.Time
	LastEvent   time.Time
	Opened      int64 // connections opened in all
	Events      int64 // events handed to the handler
	Later       int64 // events asked for again
	Failures    int   // attempts to connect that failed in a row
	LastError   error // of the last failure, nil when there was none since the last success
}

// ErrStreamRunning is a second Run of one stream at the same time.
var ErrStreamRunning = errors.New("dingtalk: this event stream is running already")

// Stream makes an event stream; nothing is opened before Run.
func (c *Client) Stream(cfg StreamConfig) *Stream {
	or := func(into *time.Duration, value time.Duration) {
		if *into <= 0 {
			*into = value
		}
	}
	or(&cfg.AckWithin, 2500*time.Millisecond)
	or(&cfg.Ping, 30*time.Second)
	or(&cfg.Pong, 5*time.Second)
	or(&cfg.Linger, 15*time.Second)
	or(&cfg.FirstWait, time.Second)
	or(&cfg.MaxWait, time.Minute)
	or(&cfg.Steady, 30*time.Second)
	if cfg.Workers <= 0 {
		cfg.Workers = 16
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "kdgate-sdk-go/1"
	}
	return &Stream{client: c.Background(), cfg: cfg, log: c.cfg.Logger.With("corp", c.cfg.Corp)}
}

// Status is how the stream stands now.
func (s *Stream) Status() StreamStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func (s *Stream) note(change func(*StreamStatus)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// Run receives events until the context ends, over one connection that it
// replaces as often as needed: a lost one after a back-off, one that the vendor
// is about to close while the old one still delivers. It returns the context's
// error, and only when every goroutine of it has ended.
func (s *Stream) Run(ctx context.Context, handle EventHandler) error {
	if !s.running.CompareAndSwap(false, true) {
		return ErrStreamRunning
	}
	defer s.running.Store(false)
	var links sync.WaitGroup
	defer links.Wait()
	for failures := 0; ctx.Err() == nil; {
		conn, err := s.connect(ctx)
		if err == nil {
			began := s.client.now()
			l := newLink(s, conn, handle)
			links.Go(func() { l.serve(ctx) })
			select {
			case <-l.leaving:
			case <-ctx.Done():
				return ctx.Err()
			}
			if s.client.now().Sub(began) >= s.cfg.Steady {
				failures = 0
				continue
			}
			err = l.cause()
		}
		failures++
		s.failed(ctx, failures, err)
		_ = sleep.For(ctx, s.backOff(failures, err)) // the loop looks at the context
	}
	return ctx.Err()
}

// failed says once, and once more when it lasts, that the stream is down.
func (s *Stream) failed(ctx context.Context, failures int, err error) {
	s.note(func(st *StreamStatus) { st.Failures, st.LastError = failures, err })
	if err != nil && ctx.Err() == nil && (failures == 1 || failures%10 == 0) {
		s.log.WarnContext(ctx, "the event stream is down", "failures", failures, "error", err)
	}
}

// backOff doubles from FirstWait to MaxWait and adds up to a fifth, so that
// replicas do not come back together. A failure that an administrator must
// mend, or one that names its own pause, waits longer.
func (s *Stream) backOff(failures int, err error) time.Duration {
	wait := s.cfg.FirstWait << min(failures-1, 16)
	if wait > s.cfg.MaxWait || wait <= 0 || identity.KindOf(err) == identity.Misconfigured && err != nil {
		wait = s.cfg.MaxWait
	}
	if pause, ok := RetryAfter(err); ok {
		wait = max(wait, pause)
	}
	return wait + jitter(wait/5)
}

// jitter is a random part of at most limit.
func jitter(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(limit))
}

// connect asks for an address and a ticket, which serves once and for 90
// seconds, and opens the socket with it.
func (s *Stream) connect(ctx context.Context) (*websocket.Conn, error) {
	target, err := s.ticket(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, target.Reveal(), &websocket.DialOptions{ //nolint:bodyclose // the library reads and closes it
		HTTPClient: s.client.peer.Upgrader(), HTTPHeader: http.Header{"User-Agent": {s.cfg.UserAgent}},
	})
	if err != nil {
		status := 0
		if res != nil {
			status = res.StatusCode
		}
		// The library's text holds the address, and with it the ticket.
		return nil, fmt.Errorf("dingtalk: the event gateway could not be reached: %s, status %d", transportClass(err), status)
	}
	conn.SetReadLimit(maxFrame)
	return conn, nil
}

func (s *Stream) ticket(ctx context.Context) (identity.Secret, error) {
	c := s.client
	var out struct {
		Endpoint string `json:"endpoint"`
		Ticket   string `json:"ticket"`
	}
	body := map[string]any{
		"clientId": c.cfg.AppKey, "clientSecret": c.cfg.AppSecret.Reveal(), "ua": s.cfg.UserAgent,
		"subscriptions": []map[string]string{{"type": frameEvent, "topic": "*"}},
	}
	if err := c.ask(ctx, opStream, body, &out); err != nil {
		return identity.Secret{}, err
	}
	u, err := url.Parse(out.Endpoint)
	if err != nil || u.Host == "" || u.User != nil || !usableToken(out.Ticket) {
		return identity.Secret{}, c.nonsense(opStream, "endpoint or ticket")
	}
	if !c.maySpeakTo(u) {
		return identity.Secret{}, c.nonsense(opStream, "an endpoint without TLS")
	}
	query := u.Query()
	query.Set("ticket", out.Ticket)
	u.RawQuery = query.Encode()
	return identity.NewSecret(u.String()), nil
}

// maySpeakTo holds the address of an event gateway, which is DingTalk's word, to
// TLS. Without it a socket is opened on loopback only where DingTalk itself is
// asked without it there, as a simulator is: else an answer could have this
// machine's own services called (T119).
func (c *Client) maySpeakTo(gateway *url.URL) bool {
	switch gateway.Scheme {
	case "wss":
		return true
	case "ws":
		return c.cfg.AllowPlainHTTP || isLoopback(gateway.Hostname()) && c.api.Scheme == "http"
	default:
		return false
	}
}
