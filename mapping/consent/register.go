package consent

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// The acts of the register, as the audit log names them.
const (
	ActionGive     audit.Action = "consent.give"
	ActionWithdraw audit.Action = "consent.withdraw"
	ActionImport   audit.Action = "consent.import"
	ActionExport   audit.Action = "consent.export"
)

// State is what a person said.
type State string

// The states of a row.
const (
	Given     State = "given"
	Withdrawn State = "withdrawn"
)

// Way is how somebody's word came here.
type Way string

// The ways.
const (
	Self   Way = "self"   // by the person, on the gateway's own page
	Import Way = "import" // a file of an HR process
	Paper  Way = "paper"  // an administrator's note of a paper
)

func (w Way) known() bool { return w == Self || w == Import || w == Paper }

// Word is one thing that a person said.
type Word struct {
	State   State     `json:"state"`
	Version string    `json:"version"` // of the text
	At      time.Time `json:"at"`      // when they said it
	Noted   time.Time `json:"noted"`   // when it was written down here
	By      string    `json:"by"`      // who wrote it down, as in the audit log
	Way     Way       `json:"way"`
	Note    string    `json:"note,omitempty"`   // where the paper is, which file it was
	Digest  string    `json:"digest,omitempty"` // SHA-256 of the text as it was shown, or of the file that brought the word

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Row is a person's row: the newest word, and all before it.
type Row struct {
	Corp   string `json:"corp"`
	UserID string `json:"userid"`
	Word
	Before []Word `json:"before,omitempty"` // the newest first

	version store.Version
}

// Subject is the person of the row.
func (r Row) Subject() identity.Subject { return identity.Subject{Corp: r.Corp, UserID: r.UserID} }

// Counts reports whether the row is a consent to the version of the text.
func (r Row) Counts(version string) bool { return r.State == Given && r.Version == version }

// Actor is who writes a word down. The caller has proven it, and the role.
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

// Config is what New needs. Store and Recorder are required.
type Config struct {
	Store    store.Store
	Recorder Recorder
	// Changed is told of each word after it is written: what was held back may go,
	// or goes no longer. It must not block. nil: nobody is told.
	Changed func(ctx context.Context, who identity.Subject)
	Now     func() time.Time
	// AsFound is the store without its doubts (store.Sealed.AsFound), for Reassert.
	// nil: a withdrawal that a failover put back stays an error.
	AsFound store.Store
}

const (
	prefix     = "consent/"
	maxUserID  = 100 // bytes
	maxNote    = 500 // bytes
	maxVersion = 40  // bytes
	maxBefore  = 50  // words that a row keeps beside the newest
)

// Register keeps the rows. It is safe for concurrent use, and holds nothing itself.
type Register struct{ cfg Config }

// New checks cfg.
func New(cfg Config) (*Register, error) {
	if cfg.Store == nil || cfg.Recorder == nil {
		return nil, errors.New("consent: store and recorder are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Register{cfg: cfg}, nil
}

func key(who identity.Subject) string {
	return prefix + url.PathEscape(who.Corp) + "/" + url.PathEscape(who.UserID)
}

// Of is a person's row; false when they said nothing.
func (g *Register) Of(ctx context.Context, who identity.Subject) (Row, bool, error) {
	return g.of(ctx, g.cfg.Store, who)
}

func (g *Register) of(ctx context.Context, in store.Store, who identity.Subject) (Row, bool, error) {
	entry, err := in.Get(ctx, key(who))
	if errors.Is(err, store.ErrNotFound) {
		return Row{Corp: who.Corp, UserID: who.UserID}, false, nil
	}
	if err != nil {
		return Row{}, false, down(err)
	}
	row, err := decode(entry)
	return row, err == nil, err
}

// Note writes down a person's word: first on record, then in the register. The
// same word to the same version again changes nothing. At is now when it is zero.
func (g *Register) Note(ctx context.Context, by Actor, who identity.Subject, w Word) (Row, error) {
	now := g.cfg.Now().UTC()
	if w.At.IsZero() {
		w.At = now
	}
	w.At, w.Noted, w.By = w.At.UTC(), now, by.Name
	if err := w.check(who, now); err != nil {
		return Row{}, err
	}
	row, there, err := g.Of(ctx, who)
	if err != nil {
		return Row{}, err
	}
	if there && row.State == w.State && row.Version == w.Version {
		return row, nil
	}
	next := row.with(w)
	if err := g.cfg.Recorder.Append(ctx, by.event(who, w)); err != nil {
		return Row{}, err
	}
	op, err := next.op()
	if err != nil {
		return Row{}, err
	}
	if err := g.cfg.Store.Commit(ctx, op); err != nil {
		return Row{}, down(err)
	}
	g.tell(ctx, who)
	return next, nil
}

func (g *Register) tell(ctx context.Context, who identity.Subject) {
	if g.cfg.Changed != nil {
		g.cfg.Changed(ctx, who)
	}
}

// with is the row with a newer word.
func (r Row) with(w Word) Row {
	next := Row{Corp: r.Corp, UserID: r.UserID, Word: w, version: r.version}
	next.Unknown = r.Unknown // what a newer release wrote about the person, or about that word
	if r.version != 0 {
		next.Before = append([]Word{r.Word}, r.Before...)
		next.Before = next.Before[:min(len(next.Before), maxBefore)]
	}
	return next
}

// op writes the row over exactly the version that was read.
func (r Row) op() (store.Op, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return store.Op{}, identity.Fail(identity.Internal, identity.CodeInternal, "consent: %w", err)
	}
	return store.Over(key(r.Subject()), value, r.version), nil
}

// check refuses a word that would prove nothing later.
func (w Word) check(who identity.Subject, now time.Time) error {
	switch {
	case !names(who):
		return refused("nobody is named")
	case w.State != Given && w.State != Withdrawn:
		return refused("the state is given or withdrawn, not %q", w.State)
	case w.Version == "" || len(w.Version) > maxVersion:
		return refused("which version of the text, in 1 to %d bytes", maxVersion)
	case !w.Way.known():
		return refused("no way %q", w.Way)
	case w.Way == Paper && strings.TrimSpace(w.Note) == "":
		return refused("a note of a paper says where the paper is")
	case len(w.Note) > maxNote || !utf8.ValidString(w.Note):
		return refused("a note of at most %d bytes", maxNote)
	case w.At.After(now.Add(time.Minute)):
		return refused("%s is in the future", w.At.Format(time.RFC3339))
	}
	return nil
}

// names reports whether a subject can be somebody's.
func names(who identity.Subject) bool {
	return who.Corp != "" && who.UserID != "" && len(who.UserID) <= maxUserID && utf8.ValidString(who.UserID)
}

func (a Actor) event(who identity.Subject, w Word) audit.Event {
	action := ActionGive
	if w.State == Withdrawn {
		action = ActionWithdraw
	}
	return audit.Event{
		Action: action, Outcome: audit.OK, Actor: a.Name, Door: a.Door, Source: a.Source, RequestID: a.RequestID,
		Target: audit.Person(who), Detail: map[string]string{"version": w.Version, "way": string(w.Way), "at": w.At.Format(time.RFC3339), "digest": w.Digest},
	}
}

func decode(entry store.Entry) (Row, error) {
	var row Row
	if err := json.Unmarshal(entry.Value, &row); err != nil {
		return Row{}, identity.Fail(identity.Internal, identity.CodeInternal, "consent: %q: %w", entry.Key, err)
	}
	row.version = entry.Version
	return row, nil
}

func refused(format string, args ...any) error {
	return identity.Fail(identity.Invalid, identity.CodeRefusedInput, "consent: "+format, args...)
}

func down(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "consent: %w", err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "consent: %w", err)
}
