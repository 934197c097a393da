package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"kdgate/identity"
)

// opRobotSend proves itself by the robot's own token and signature. It may be
// repeated: every message carries an id that DingTalk delivers once.
var opRobotSend = operation{name: "robotsend", host: oldHost, path: "/robot/send", auth: authNone, class: ClassMessage}

const (
	// robotBurst and robotSteady stay under 20 messages in any minute.
	robotBurst  = 5
	robotSteady = 14.0 / 60
	// robotBlock is how long DingTalk blocks a robot that sent too many.
	robotBlock = 10 * time.Minute
)

// robotEntries are the refusals of robots (reference 8.2): documentation and
// wire disagree about the numbers.
func robotEntries() []entry {
	setup := func(name, advice string) rule {
		return rule{name: name, kind: identity.Misconfigured, code: identity.CodeDingTalkSetup, advice: advice}
	}
	return []entry{
		{rule{name: "robot_rate", kind: identity.Throttled, code: identity.CodeDingTalkBusy}, []string{"660026", "410100", "20001"}},
		{setup("robot_unknown", "a robot's token is not known: compare it with the group's settings"), []string{"300005", "300001", "400101", "400106", "400013"}},
		{setup("robot_stopped", "a robot is stopped in its group"), []string{"400102"}},
		{setup("robot_security", "a robot refuses our signature, keyword or address: compare its security settings"), []string{"310000"}},
		{rule{name: "robot_content", kind: identity.Invalid, code: identity.CodeBadRequest}, []string{"430101", "430102", "430103", "430104", "400105", "400402"}},
	}
}

// RobotConfig is one custom robot of one group.
type RobotConfig struct {
	Token   identity.Secret
	Secret  identity.Secret // of the signature; none: the robot goes by keywords or address
	Keyword string          // put in front of every message that lacks it; empty: none needed
}

// RobotMessage is Markdown for a group, or with buttons a card.
type RobotMessage struct {
	// ID names the message: sent again under the same ID it arrives once.
	ID      string
	Title   string
	Text    string
	Buttons []Button
}

// Robot speaks in one group. It is safe for concurrent use, holds itself under
// the vendor's rate, and keeps silent for as long as the vendor blocks it.
type Robot struct {
	client *Client
	cfg    RobotConfig
	pace   *rate.Limiter

	mu      sync.Mutex
	blocked time.Time // until
}

// Robot makes a robot that speaks over the client's connections and shares its
// address's limits.
func (c *Client) Robot(cfg RobotConfig) (*Robot, error) {
	if cfg.Token.IsZero() {
		return nil, errors.New("dingtalk: a robot needs its token")
	}
	return &Robot{client: c, cfg: cfg, pace: rate.NewLimiter(robotSteady, robotBurst)}, nil
}

// errRobotRate is a message that would be one too many.
var errRobotRate = errors.New("the robot has said as much as it may for now")

// Send says m in the group. Kind Throttled, with RetryAfter, means that the
// robot has to keep silent; Misconfigured that its settings refuse us.
func (r *Robot) Send(ctx context.Context, m RobotMessage) error {
	if m.ID == "" || m.Text == "" || m.Title == "" || !utf8.ValidString(m.Title+m.Text) {
		return identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: robot: %w: it needs an id, a title and a text", ErrMessage)
	}
	if err := r.turn(); err != nil {
		return err
	}
	c := r.client
	ctx, cancel, err := c.begin(ctx, opRobotSend)
	if err != nil {
		return err
	}
	defer cancel()
	query := url.Values{"access_token": {r.cfg.Token.Reveal()}}
	if !r.cfg.Secret.IsZero() {
		at := c.now().Add(time.Duration(c.skew.Load())) // by their clock
		stamp, sign := RobotSignature(r.cfg.Secret, at)
		raw, err := url.QueryUnescape(sign)
		if err != nil {
			return fmt.Errorf("dingtalk: robot: %w", err)
		}
		query.Set("timestamp", stamp)
		query.Set("sign", raw)
	}
	err = c.do(ctx, call{op: opRobotSend, query: query, body: m.body(r.cfg.Keyword), admitted: true})
	if e, ok := errors.AsType[*CallError](err); ok && e.Rule == "robot_rate" {
		r.block(c.now().Add(robotBlock))
		e.retryAfter = robotBlock
	}
	if err == nil {
		c.meter.events.add(ctx, c.now(), 1) // of the Webhook quota
	}
	return err
}

// turn admits one message, or says how long it has to wait.
func (r *Robot) turn() error {
	c := r.client
	r.mu.Lock()
	defer r.mu.Unlock()
	now := c.now()
	wait := r.blocked.Sub(now)
	if wait <= 0 {
		booking := r.pace.ReserveN(now, 1)
		if wait = booking.DelayFrom(now); wait <= 0 {
			return nil
		}
		booking.CancelAt(now)
	}
	e := c.failed(opRobotSend, rulePaused, errRobotRate)
	e.retryAfter = wait
	return c.public(e)
}

func (r *Robot) block(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocked = until
}

func (m RobotMessage) body(keyword string) map[string]any {
	text := m.Text
	if keyword != "" {
		text = keyword + "\n\n" + text
	}
	body := map[string]any{"msgUuid": m.ID}
	switch {
	case len(m.Buttons) == 0:
		body["msgtype"], body["markdown"] = "markdown", map[string]any{"title": m.Title, "text": text}
	default:
		var list []map[string]string
		for _, b := range m.Buttons {
			list = append(list, map[string]string{"title": b.Title, "actionURL": b.URL})
		}
		body["msgtype"] = "actionCard"
		body["actionCard"] = map[string]any{"title": m.Title, "text": text, "btnOrientation": "0", "btns": list}
	}
	return body
}
