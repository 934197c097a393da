package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

const (
	recordPrefix = "session/"
	indexPrefix  = "session-of/"
)

// record is a session as the store holds it.
type record struct {
	Handle    string        `json:"handle"`
	Corp      string        `json:"corp"`
	UserID    string        `json:"userid"`
	UnionID   string        `json:"unionid,omitzero"`
	Name      string        `json:"name,omitzero"`
	Door      identity.Door `json:"door"`
	ProvenAt  time.Time     `json:"proven_at"`
	Started   time.Time     `json:"started"`
	Seen      time.Time     `json:"seen"` // to within touchEvery
	Ends      time.Time     `json:"ends"` // the absolute end
	Source    string        `json:"source,omitzero"`
	UserAgent string        `json:"user_agent,omitzero"`
	Ended     bool          `json:"ended,omitzero"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// stored is a record and where it stands. Its Seen is the last use that this
// process knows of; written is the one that the store knows of.
type stored struct {
	record
	hash    string
	version store.Version
	written time.Time
}

func (r record) subject() identity.Subject {
	return identity.Subject{Corp: r.Corp, UserID: r.UserID}
}

func (r record) principal() identity.Principal {
	return identity.Principal{
		Assertion: identity.Assertion{
			Subject: r.subject(), UnionID: r.UnionID, Name: r.Name, Door: r.Door, At: r.ProvenAt,
		},
		SessionID: r.Handle,
		ExpiresAt: r.Ends,
	}
}

func (r record) indexKey() string { return personPrefix(r.subject()) + r.Handle }

// personPrefix begins the index keys of exactly one person: neither a slash in
// a name nor a name that begins with another can lead to somebody else's.
func personPrefix(s identity.Subject) string {
	return indexPrefix + keyPart(s.Corp) + "/" + keyPart(s.UserID) + "/"
}

// keyPart escapes what would read as structure or what the store refuses. Two
// names never give one part; only spelling is escaped, so letters stay letters.
func keyPart(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if r == '/' || r == '%' || r == utf8.RuneError && size == 1 || !unicode.IsGraphic(r) {
			for _, c := range []byte(text[:size]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// load reads a record; a missing one is store.ErrNotFound, unwrapped of kinds.
func (m *Manager) load(ctx context.Context, hash string) (stored, error) {
	entry, err := m.store.Get(ctx, recordPrefix+hash)
	if err != nil {
		return stored{}, err
	}
	s := stored{hash: hash, version: entry.Version}
	if err := json.Unmarshal(entry.Value, &s.record); err != nil {
		return stored{}, fmt.Errorf("session: record: %w", err)
	}
	s.written = s.Seen
	return s, nil
}

// created are the writes that begin a session.
func (m *Manager) created(s stored) ([]store.Op, error) {
	value, err := json.Marshal(s.record)
	if err != nil {
		return nil, fmt.Errorf("session: record: %w", err)
	}
	return []store.Op{
		store.Create(recordPrefix+s.hash, value).For(m.kept(s)),
		store.Put(s.indexKey(), []byte(s.hash)).For(m.kept(s)),
	}, nil
}

// replaced writes a changed record over exactly the one that was read.
func (m *Manager) replaced(s stored) (store.Op, error) {
	value, err := json.Marshal(s.record)
	if err != nil {
		return store.Op{}, fmt.Errorf("session: record: %w", err)
	}
	return store.Replace(recordPrefix+s.hash, value, s.version).For(m.kept(s)), nil
}

// ended are the writes that end a session: its record stays, marked and without
// what only a live session needs, until nobody could use its token any more.
func (m *Manager) ended(s stored) ([]store.Op, error) {
	s.Ended = true
	s.UnionID, s.Name, s.Source, s.UserAgent = "", "", "", ""
	op, err := m.replaced(s)
	if err != nil {
		return nil, err
	}
	return []store.Op{op, store.Delete(s.indexKey())}, nil
}

// kept is how long the store keeps a record: to its absolute end.
func (m *Manager) kept(s stored) time.Duration {
	return max(s.Ends.Sub(m.now()), time.Second)
}

// alive judges by the server's clock: not ended, not past its absolute end, and
// seen within the idle time (T44). A configuration that was shortened since
// holds for old sessions too.
func (m *Manager) alive(s stored) bool {
	now := m.now()
	return !s.Ended && now.Before(s.Ends) && now.Before(s.Started.Add(m.absolute)) && now.Before(s.Seen.Add(m.idle))
}

// down is an answer that the store did not give. Only ErrNotFound is an answer.
func down(err error) error {
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "session: %w", err)
}

func nobody(why string) error {
	return &identity.Error{Kind: identity.Unauthenticated, Err: errors.New("session: " + why)}
}
