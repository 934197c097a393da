package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// Kind is the kind of work that letters are on the list.
const Kind = "notice"

// Messenger sends work notifications; *dingtalk.Client is one.
type Messenger interface {
	SendWork(ctx context.Context, m dingtalk.Message) (int64, error)
	SendResult(ctx context.Context, task int64) (dingtalk.SendResult, error)
}

// Speaker speaks in one group; *dingtalk.Robot is one. A message that comes
// again under its ID is said once.
type Speaker interface {
	Send(ctx context.Context, m dingtalk.RobotMessage) error
}

// Mailer sends mail; *SMTP is one.
type Mailer interface {
	Send(ctx context.Context, m Mail) error
}

// Config is what New needs.
type Config struct {
	Corp      string // whose people are told
	Store     store.Store
	Queue     *jobs.Queue
	Messenger Messenger
	Robots    map[string]Speaker  // by name
	Mailer    Mailer              // nil: mail is off
	Roles     map[string][]string // userids of a role

	// MessageBytes is how long a work notification may be, encoded; as the client
	// has it by default.
	MessageBytes int
	// Gather is how long a letter that is not urgent waits for others to the
	// same people; 15 s by default.
	Gather time.Duration
	// Ask is how long after a send its result is asked for first; 30 s by default.
	Ask time.Duration
	// Patience is how long a way is tried that cannot be gone, before the next
	// one is taken; 15 min by default.
	Patience time.Duration

	Now    func() time.Time // time.Now by default
	Logger *slog.Logger     // nil: discard; it never gets a text
}

// Outbox takes notices and delivers them. It is safe for concurrent use.
type Outbox struct{ cfg Config }

// New builds an Outbox and writes nothing.
func New(cfg Config) (*Outbox, error) {
	if cfg.Corp == "" || cfg.Store == nil || cfg.Queue == nil || cfg.Messenger == nil {
		return nil, errors.New("notice: an outbox needs an organisation, a store, a queue and a messenger")
	}
	orDuration := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orDuration(&cfg.Gather, 15*time.Second)
	orDuration(&cfg.Ask, 30*time.Second)
	orDuration(&cfg.Patience, 15*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Outbox{cfg}, nil
}

func (o *Outbox) now() time.Time { return o.cfg.Now().UTC().Truncate(time.Microsecond) }

// Send puts a notice into the outbox, durably when it returns. The same Key
// again does nothing. The ops in with are written exactly when the whole notice
// is; if it is they that do not hold, the error is store.ErrConflict.
func (o *Outbox) Send(ctx context.Context, n Notice, with ...store.Op) error {
	if err := n.check(); err != nil {
		return refused(err)
	}
	list := n.letters(o.cfg.Corp, o.cfg.Roles, o.now())
	if len(list) == 0 {
		return refused(fmt.Errorf("%s: its addresses name nobody", n.Topic))
	}
	for i := range list {
		ops := []store.Op(nil)
		if i == len(list)-1 {
			ops = with
		}
		if err := o.post(ctx, &list[i], n.Urgent, ops); err != nil {
			return err
		}
	}
	return nil
}

// post puts one letter on the list.
func (o *Outbox) post(ctx context.Context, l *letter, urgent bool, with []store.Op) error {
	payload, err := json.Marshal(l)
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "notice: encode a letter: %w", err)
	}
	d := newDelivery(l)
	record, err := d.op(l.Created)
	if err != nil {
		return err
	}
	ops := append([]store.Op{record}, with...)
	due := l.Created
	if l.gathers() {
		ops = append(ops, store.Put(waitKey(l), payload).For(keepLog))
		if !urgent {
			due = due.Add(o.cfg.Gather)
		}
	}
	_, outcome, err := o.cfg.Queue.Add(ctx, jobs.Draft{ID: jobs.ID{Kind: Kind, Key: l.ID}, Payload: payload, Due: due}, ops...)
	switch {
	case err != nil:
		return err
	case outcome == jobs.Added:
		o.cfg.Logger.InfoContext(ctx, "notice", "topic", l.Topic, "letter", l.ID, "way", string(l.Route[0].Way), "recipients", len(d.Recipients))
	case len(with) > 0: // it was there already, so nothing went with it
		if err := o.cfg.Store.Commit(ctx, with...); err != nil {
			return storeError(err)
		}
	}
	return nil
}

func waitKey(l *letter) string { return prefixWait + l.people() + "/" + l.ID }

// Outboxes are the outboxes of all organisations, by corp. They are the handler
// of Kind: each letter goes by the organisation it was written for.
type Outboxes map[string]*Outbox

// Handle implements jobs.Handler.
func (all Outboxes) Handle(ctx context.Context, w *jobs.Work) error {
	var to struct {
		Corp string `json:"corp"`
	}
	if err := json.Unmarshal(w.Item().Payload, &to); err != nil {
		return jobs.Permanent(jobs.Explain(fmt.Errorf("notice: %s is no letter", w.Item().ID), "this is no notice"))
	}
	o := all[to.Corp]
	if o == nil {
		return identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "notice: no outbox of organisation %q", to.Corp)
	}
	return o.Handle(ctx, w)
}
