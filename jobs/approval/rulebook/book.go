package rulebook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/sleep"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/store"
)

// The acts on rules, as the audit log names them.
const (
	ActionSave   audit.Action = "approval.rule.save"
	ActionSwitch audit.Action = "approval.rule.switch"
	ActionRemove audit.Action = "approval.rule.remove"
)

const (
	prefixBook     = "approval/book/"
	prefixRule     = prefixBook + "rule/"
	prefixSwitch   = prefixBook + "switch/"
	prefixTried    = "approval/tried/"
	prefixVersion  = "approval/version/"
	prefixVersions = "approval/versions/"

	keepTried = 90 * 24 * time.Hour // then a version is tried again before it is switched on
)

// Key names a rule.
type Key struct {
	Corp string `json:"corp"`
	Name string `json:"name"`
}

// path is the key in the store: names are anybody's text, so they are hashed.
func (k Key) path() string {
	sum := sha256.Sum256([]byte(k.Name))
	return url.PathEscape(k.Corp) + "/" + hex.EncodeToString(sum[:16])
}

// Written is a rule that somebody wrote in the console.
type Written struct {
	Key
	Text  string    `json:"text"`
	Print string    `json:"print"` // of the version that the text is
	By    string    `json:"by"`
	At    time.Time `json:"at"`

	version store.Version
	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Switch says which version of a rule is switched on.
type Switch struct {
	Key
	On    bool      `json:"on"`
	Print string    `json:"print"` // the version; of one switched off, which it was
	By    string    `json:"by"`
	At    time.Time `json:"at"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Tried is a preview of a version on a real approval that came out well.
type Tried struct {
	Print    string    `json:"print"`
	Instance string    `json:"instance"`
	Number   string    `json:"number"`
	By       string    `json:"by"`
	At       time.Time `json:"at"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Config is what New needs; Store and Recorder are required.
type Config struct {
	Store    store.Store
	Recorder approval.Recorder
	Now      func() time.Time
	Logger   *slog.Logger
	// AsFound is the store without its doubts (store.Sealed.AsFound), for Reassert.
	// nil: what a failover put back stays an error.
	AsFound store.Store
	// Changed is told, after it is so, that what people decided has changed, on
	// whichever replica. It must not block for long.
	Changed func(*Snapshot)
}

// Book keeps the rules. It is safe for concurrent use.
type Book struct {
	cfg     Config
	reading sync.Mutex // one refresh at a time, so that the newer stays
	now     atomic.Pointer[Snapshot]
}

// New makes a Book that knows nothing until Refresh or Run.
func New(cfg Config) *Book {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Changed == nil {
		cfg.Changed = func(*Snapshot) {}
	}
	b := &Book{cfg: cfg}
	b.now.Store(&Snapshot{})
	return b
}

// Snapshot is what people decided, as this replica knows it now. Before the store
// could be asked for the first time it is empty.
func (b *Book) Snapshot() *Snapshot { return b.now.Load() }

// Refresh reads everything anew and tells Changed.
func (b *Book) Refresh(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	next, err := b.readAll(ctx)
	if err != nil {
		return err
	}
	b.now.Store(next)
	b.cfg.Changed(next)
	return nil
}

// followAgain is how soon the store is asked again after it could not be.
const followAgain = time.Second

// Run follows the store until ctx ends, so that what is decided on one replica is
// in force on all within a second or two.
func (b *Book) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := b.follow(ctx); err != nil && ctx.Err() == nil {
			b.cfg.Logger.Warn("rules of the console cannot be followed; the last known stay in force", "error", err)
		}
		_ = sleep.For(ctx, followAgain) // it ends early with ctx, which ends the loop
	}
}

// follow watches first and reads then, so that nothing falls in between.
func (b *Book) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	events, err := b.cfg.Store.Watch(ctx, prefixBook)
	if err != nil {
		return storeError(err, "watch the rules")
	}
	for {
		if err := b.Refresh(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-events:
			if !open {
				return nil
			}
		}
	}
}

func (b *Book) readAll(ctx context.Context) (*Snapshot, error) {
	s := &Snapshot{written: map[Key]Written{}, switches: map[Key]Switch{}, versions: map[string]approval.Version{}}
	err := each(ctx, b.cfg.Store, prefixRule, func(e store.Entry) error {
		var w Written
		if err := json.Unmarshal(e.Value, &w); err != nil {
			return fmt.Errorf("rulebook: %s: %w", e.Key, err)
		}
		w.version = e.Version
		s.written[w.Key] = w
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, b.cfg.Store, prefixSwitch, func(e store.Entry) error {
		var w Switch
		if err := json.Unmarshal(e.Value, &w); err != nil {
			return fmt.Errorf("rulebook: %s: %w", e.Key, err)
		}
		s.switches[w.Key] = w
		return nil
	})
	if err != nil {
		return nil, err
	}
	for key, w := range s.written {
		for _, print := range []string{w.Print, s.switches[key].Print} {
			if err := b.know(ctx, s, print); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// know reads a version into the snapshot; one that is not there is left out, and
// with it the rule is off.
func (b *Book) know(ctx context.Context, s *Snapshot, print string) error {
	if _, known := s.versions[print]; known || print == "" {
		return nil
	}
	v, err := b.Version(ctx, print)
	switch {
	case identity.KindOf(err) == identity.NotFound:
		return nil
	case err != nil:
		return err
	}
	s.versions[print] = v
	return nil
}

// Save writes a rule of the console as a new version. expect is the print of the
// version that was looked at, empty for a new rule; another one there is a
// conflict. What is switched on stays as it is.
func (b *Book) Save(ctx context.Context, by jobs.Actor, key Key, text string, rule approval.Rule, expect string) (Written, error) {
	v, err := approval.VersionOf(key.Corp, rule)
	if err != nil {
		return Written{}, identity.Fail(identity.Invalid, identity.CodeRefusedInput, "rulebook: %w", err)
	}
	old, there := b.now.Load().written[key]
	switch {
	case there && old.Print != expect, !there && expect != "":
		return old, changedMeanwhile(key)
	case there && old.Text == text:
		return old, nil
	}
	w := Written{Key: key, Text: text, Print: v.Print, By: by.Name, At: b.cfg.Now().UTC(), Unknown: old.Unknown}
	if err := b.record(ctx, by, ActionSave, key, map[string]string{"print": w.Print, "before": old.Print}); err != nil {
		return Written{}, err
	}
	if err := b.Keep(ctx, v); err != nil {
		return Written{}, err
	}
	op, err := put(prefixRule+key.path(), w)
	if err != nil {
		return Written{}, err
	}
	if op.Absent = !there; there {
		op.Expect = old.version
	}
	return w, b.commit(ctx, key, op)
}

// Switch switches a version of a rule on, or the rule off. One is switched on only
// after a preview of exactly this version on a real approval came out well
// (NoteTried). Repeating it changes nothing.
func (b *Book) Switch(ctx context.Context, by jobs.Actor, key Key, print string, on bool) error {
	now, there := b.now.Load().switches[key]
	if there && now.On == on && (now.Print == print || !on) || !there && !on {
		return nil
	}
	if on {
		if _, found, err := b.Tried(ctx, print); err != nil {
			return err
		} else if !found {
			return identity.Fail(identity.Conflict, identity.CodeRefusedInput, "rulebook: %s, version %s: %w", key.Name, print, ErrUntried)
		}
	} else {
		print = now.Print
	}
	if err := b.record(ctx, by, ActionSwitch, key, map[string]string{"print": print, "on": fmt.Sprint(on)}); err != nil {
		return err
	}
	op, err := put(prefixSwitch+key.path(), Switch{Key: key, On: on, Print: print, By: by.Name, At: b.cfg.Now().UTC(), Unknown: now.Unknown})
	if err != nil {
		return err
	}
	return b.commit(ctx, key, op)
}

// ErrUntried is a version that nobody tried on a real approval.
var ErrUntried = errors.New("rulebook: this version was not tried on a real approval yet, or had mistakes")

// Remove takes a rule of the console out, with its switch. Its versions stay.
func (b *Book) Remove(ctx context.Context, by jobs.Actor, key Key) error {
	old, there := b.now.Load().written[key]
	if !there {
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: no rule %q", key.Name)
	}
	if err := b.record(ctx, by, ActionRemove, key, map[string]string{"print": old.Print}); err != nil {
		return err
	}
	return b.commit(ctx, key, store.DeleteAt(prefixRule+key.path(), old.version), store.Delete(prefixSwitch+key.path()))
}

// NoteTried writes down that a version was tried and came out well. Without it
// the version cannot be switched on, so it is not recorded by itself.
func (b *Book) NoteTried(ctx context.Context, t Tried) error {
	t.At = b.cfg.Now().UTC()
	op, err := put(prefixTried+t.Print, t)
	if err != nil {
		return err
	}
	return storeError(b.cfg.Store.Commit(ctx, op.For(keepTried)), "note a preview")
}

// Tried is on what a version was last tried well.
func (b *Book) Tried(ctx context.Context, print string) (Tried, bool, error) {
	var t Tried
	entry, err := b.cfg.Store.Get(ctx, prefixTried+print)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid):
		return t, false, nil
	case err != nil:
		return t, false, storeError(err, "read a preview")
	}
	if err := json.Unmarshal(entry.Value, &t); err != nil {
		return t, false, fmt.Errorf("rulebook: %s: %w", entry.Key, err)
	}
	return t, t.Print == print, nil
}

// commit writes and takes the change in at once; other replicas hear of it.
func (b *Book) commit(ctx context.Context, key Key, ops ...store.Op) error {
	err := b.cfg.Store.Commit(ctx, ops...)
	if errors.Is(err, store.ErrConflict) {
		_ = b.Refresh(ctx) // so that the next look shows what is there
		return changedMeanwhile(key)
	}
	if err != nil {
		return storeError(err, "write rule %q", key.Name)
	}
	return b.Refresh(ctx)
}

func (b *Book) record(ctx context.Context, by jobs.Actor, action audit.Action, key Key, detail map[string]string) error {
	detail["corp"] = key.Corp
	err := b.cfg.Recorder.Append(ctx, audit.Event{
		Action: action, Outcome: audit.OK, Actor: by.Name, Source: by.Source, RequestID: by.RequestID, Target: key.Name, Detail: detail,
	})
	if err != nil {
		return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "rulebook: %s: %w", action, err)
	}
	return nil
}

func changedMeanwhile(key Key) error {
	return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "rulebook: %q has changed meanwhile", key.Name)
}

func put(key string, value any) (store.Op, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return store.Op{}, fmt.Errorf("rulebook: %s: %w", key, err)
	}
	return store.Put(key, text), nil
}

// each reads every entry below a prefix.
func each(ctx context.Context, s store.Store, prefix string, do func(store.Entry) error) error {
	for after := ""; ; {
		page, err := s.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return storeError(err, "read %s", prefix)
		}
		for _, e := range page {
			if err := do(e); err != nil {
				return err
			}
			after = e.Key
		}
		if len(page) < store.MaxPage {
			return nil
		}
	}
}

// storeError gives a failure of the store its kind; nil stays nil.
func storeError(err error, format string, args ...any) error {
	switch what := fmt.Sprintf(format, args...); {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return identity.Fail(identity.NotFound, identity.CodeNotFound, "rulebook: %s: %w", what, err)
	default:
		return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "rulebook: %s: %w", what, err)
	}
}
