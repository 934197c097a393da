package access

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// State is where a request stands.
type State string

// The states of a request.
const (
	Open    State = "open"
	Granted State = "granted"
	Refused State = "refused"
)

// Key names a request: one person, one data centre.
type Key struct {
	DataCentre string `json:"data_centre"`
	Corp       string `json:"corp"`
	UserID     string `json:"userid"`
}

// Subject is the person who asks.
func (k Key) Subject() identity.Subject { return identity.Subject{Corp: k.Corp, UserID: k.UserID} }

func (k Key) path() string {
	return url.PathEscape(k.DataCentre) + "/" + url.PathEscape(k.Corp) + "/" + url.PathEscape(k.UserID)
}

// Request is one wish to be let in.
type Request struct {
	Key
	Name    string        `json:"name,omitzero"` // display name, never a key
	Code    identity.Code `json:"code"`          // which link was broken
	Asked   time.Time     `json:"asked"`
	State   State         `json:"state"`
	Decided time.Time     `json:"decided,omitzero"`
	By      string        `json:"by,omitzero"`     // who decided
	Reason  string        `json:"reason,omitzero"` // of a refusal, for the person to read

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)

	version store.Version
}

// Actor is who asks or decides. The caller has proven it, and the role.
type Actor struct {
	Name      string // as in audit.Event
	Door      string
	Source    string // client address
	RequestID string
}

// Recorder writes the audit log. It returns only when the record is durable.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Notifier is told of what happened, after it is written: those who may decide
// about a new request, and the person about a decision. It must not block, and
// nothing waits for it; the message may be lost, the request is not.
type Notifier interface {
	Asked(ctx context.Context, r Request)
	Decided(ctx context.Context, r Request)
}

// Config is what New needs. Store and Recorder are required.
type Config struct {
	Store    store.Store
	Recorder Recorder
	Notifier Notifier      // nil: nobody is told
	AskAgain time.Duration // after a decision; 1 hour by default
	Keep     time.Duration // how long a decided request can be looked at; 90 days by default
	MaxOpen  int           // open requests at once, of everybody; 10,000 by default
	Now      func() time.Time
}

const (
	requestPrefix = "access/request/"
	openPrefix    = "access/open/"

	maxReason = 500 // bytes
	maxName   = 200
)

// Book keeps the requests. It is safe for concurrent use, and holds nothing
// itself.
type Book struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Book, error) {
	if cfg.Store == nil || cfg.Recorder == nil {
		return nil, errors.New("access: store and recorder are needed")
	}
	if cfg.AskAgain <= 0 {
		cfg.AskAgain = time.Hour
	}
	if cfg.Keep <= 0 {
		cfg.Keep = 90 * 24 * time.Hour
	}
	if cfg.MaxOpen <= 0 {
		cfg.MaxOpen = 10_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Book{cfg: cfg}, nil
}

// Of is a person's newest request; false when there is none.
func (b *Book) Of(ctx context.Context, k Key) (Request, bool, error) {
	entry, err := b.cfg.Store.Get(ctx, requestPrefix+k.path())
	if errors.Is(err, store.ErrNotFound) {
		return Request{}, false, nil
	}
	if err != nil {
		return Request{}, false, down(err)
	}
	r, err := decode(entry)
	return r, err == nil, err
}

// Ask opens a request for a person whose chain broke with code. One that is
// open is given back as it is, so asking twice is asking once. The kind
// Throttled means that the last one was decided less than AskAgain ago, or that
// there are MaxOpen already.
func (b *Book) Ask(ctx context.Context, by Actor, k Key, name string, code identity.Code) (Request, error) {
	last, there, err := b.Of(ctx, k)
	if err != nil {
		return Request{}, err
	}
	now := b.cfg.Now().UTC()
	switch {
	case there && last.State == Open:
		return last, nil
	case there && now.Before(last.Decided.Add(b.cfg.AskAgain)):
		return last, identity.Fail(identity.Throttled, identity.CodeTooManyTries, "access: asked again too soon")
	}
	if err := b.room(ctx); err != nil {
		return Request{}, err
	}
	r := Request{Key: k, Name: clip(name, maxName), Code: code, Asked: now, State: Open, version: last.version}
	event := by.event(audit.ActionAccessRequest, r)
	event.Reason = string(code)
	if err := b.cfg.Recorder.Append(ctx, event); err != nil {
		return Request{}, err
	}
	err = b.write(ctx, r, 0, store.Put(r.openKey(), []byte(k.path())))
	if errors.Is(err, store.ErrConflict) { // the same click twice: the other one opened it
		if r, there, err = b.Of(ctx, k); err == nil && !there {
			err = identity.Fail(identity.Conflict, identity.CodeChangedBetween, "access: it changed meanwhile")
		}
		return r, err
	}
	if err != nil {
		return Request{}, err
	}
	if b.cfg.Notifier != nil {
		b.cfg.Notifier.Asked(ctx, r)
	}
	return r, nil
}

// room reports whether one more may be open.
func (b *Book) room(ctx context.Context) error {
	after := ""
	for n := 0; n < b.cfg.MaxOpen; {
		page, err := b.cfg.Store.Scan(ctx, openPrefix, after, store.MaxPage)
		if err != nil {
			return down(err)
		}
		if len(page) < store.MaxPage && n+len(page) < b.cfg.MaxOpen {
			return nil
		}
		n += len(page)
		after = page[len(page)-1].Key
	}
	return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "access: %d requests are open", b.cfg.MaxOpen)
}

// Open lists open requests, the oldest first, at most limit of them. next goes
// on after the last; empty: there are no more.
func (b *Book) Open(ctx context.Context, after string, limit int) (list []Request, next string, err error) {
	if after != "" {
		after = openPrefix + after
	}
	page, err := b.cfg.Store.Scan(ctx, openPrefix, after, limit)
	if err != nil {
		return nil, "", down(err)
	}
	for _, entry := range page {
		stored, err := b.cfg.Store.Get(ctx, requestPrefix+string(entry.Value))
		if errors.Is(err, store.ErrNotFound) {
			continue // decided since the page was read
		}
		if err != nil {
			return nil, "", down(err)
		}
		r, err := decode(stored)
		if err != nil {
			return nil, "", err
		}
		if r.State == Open {
			list = append(list, r)
		}
	}
	if len(page) == limit {
		next = page[len(page)-1].Key[len(openPrefix):]
	}
	return list, next, nil
}

// Waiting is how many requests are open.
func (b *Book) Waiting(ctx context.Context) (n int, err error) {
	for after := ""; ; {
		page, err := b.cfg.Store.Scan(ctx, openPrefix, after, store.MaxPage)
		if err != nil {
			return 0, down(err)
		}
		if n += len(page); len(page) < store.MaxPage {
			return n, nil
		}
		after = page[len(page)-1].Key
	}
}

// Grant closes a request whose person can get in now. The caller has made the
// row first.
func (b *Book) Grant(ctx context.Context, by Actor, k Key) (Request, error) {
	return b.decide(ctx, by, k, Granted, "")
}

// Refuse closes a request with a reason, which the person will read.
func (b *Book) Refuse(ctx context.Context, by Actor, k Key, reason string) (Request, error) {
	if reason == "" || len(reason) > maxReason {
		return Request{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "access: a reason of 1 to %d bytes", maxReason)
	}
	return b.decide(ctx, by, k, Refused, reason)
}

func (b *Book) decide(ctx context.Context, by Actor, k Key, state State, reason string) (Request, error) {
	r, there, err := b.Of(ctx, k)
	if err != nil {
		return Request{}, err
	}
	if !there {
		return Request{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "access: there is no such request")
	}
	if r.State != Open {
		return r, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "access: it is %s already", r.State)
	}
	if by.Name == audit.Person(k.Subject()) {
		return r, identity.Fail(identity.Forbidden, identity.CodeFourEyes, "access: nobody decides about themselves")
	}
	r.State, r.Decided, r.By, r.Reason = state, b.cfg.Now().UTC(), by.Name, reason
	event := by.event(audit.ActionAccessDecide, r)
	event.Reason = reason
	if err := b.cfg.Recorder.Append(ctx, event); err != nil {
		return Request{}, err
	}
	if err := b.write(ctx, r, b.cfg.Keep, store.Delete(r.openKey())); err != nil {
		return Request{}, err
	}
	if b.cfg.Notifier != nil {
		b.cfg.Notifier.Decided(ctx, r)
	}
	return r, nil
}

// write keeps r over exactly the version that was read.
func (b *Book) write(ctx context.Context, r Request, life time.Duration, with store.Op) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("access: %w", err)
	}
	op := store.Over(requestPrefix+r.path(), value, r.version)
	if life > 0 {
		op = op.For(life)
	}
	err = b.cfg.Store.Commit(ctx, op, with)
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "access: %w", err)
	}
	if err != nil {
		return down(err)
	}
	return nil
}

func (r Request) openKey() string {
	return fmt.Sprintf("%s%020d/%s", openPrefix, r.Asked.UnixMicro(), r.path())
}

func (a Actor) event(action audit.Action, r Request) audit.Event {
	return audit.Event{
		Action: action, Outcome: audit.OK, Actor: a.Name, Door: a.Door, Source: a.Source, RequestID: a.RequestID,
		Target: audit.Person(r.Subject()), DataCentre: r.DataCentre, Detail: map[string]string{"state": string(r.State)},
	}
}

func decode(entry store.Entry) (Request, error) {
	r := Request{version: entry.Version}
	if err := json.Unmarshal(entry.Value, &r); err != nil {
		return Request{}, identity.Fail(identity.Internal, identity.CodeInternal, "access: %q: %w", entry.Key, err)
	}
	return r, nil
}

func down(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "access: %w", err)
}

// clip bounds a name from outside without cutting a letter in two.
func clip(text string, most int) string {
	for i := range text {
		if i > most {
			return text[:i]
		}
	}
	return text
}
