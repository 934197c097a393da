package jobs

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

// State is where an item stands; doc.go draws the ways between them.
type State string

// The states.
const (
	Ready   State = "ready"    // waits for its due time and a worker
	Leased  State = "leased"   // a worker has it
	Done    State = "done"     // finished; kept to be looked at for Config.KeepDone
	Dead    State = "dead"     // tries used up: a person replays, edits or gives up
	GivenUp State = "given-up" // a person decided that it will not be done
)

// States lists all states in the order people read them.
func States() []State { return []State{Ready, Leased, Dead, Done, GivenUp} }

// Limits of an item.
const (
	MaxKey     = 128       // bytes of a key
	MaxPayload = 512 << 10 // bytes of a payload, and of a step's data
	maxHistory = 20        // attempts remembered
)

// ID names an item: the same ID is the same item.
type ID struct {
	Kind string `json:"kind"` // a-z, 0-9, dot and dash, at most 40 bytes
	Key  string `json:"key"`  // chosen by the domain, at most MaxKey bytes
}

// String is the ID as commands and pages name it, KIND/KEY with the key escaped.
func (id ID) String() string { return id.Kind + "/" + url.PathEscape(id.Key) }

// ParseID reads what String wrote.
func ParseID(text string) (ID, error) {
	kind, escaped, found := strings.Cut(text, "/")
	key, err := url.PathUnescape(escaped)
	id := ID{Kind: kind, Key: key}
	if !found || err != nil || id.check() != nil {
		return ID{}, refuse(identity.Invalid, "%q names no item: want KIND/KEY", text)
	}
	return id, nil
}

// kindPattern holds kinds to what a key segment and a metric label may be.
var kindPattern = regexp.MustCompile(`^[a-z][a-z0-9.-]*$`) // {0,39} would be compiled 39 times over, and kept

func checkKind(kind string) error {
	if len(kind) > 40 || !kindPattern.MatchString(kind) {
		return refuse(identity.Invalid, "%q is no kind of work", kind)
	}
	return nil
}

func (id ID) check() error {
	if err := checkKind(id.Kind); err != nil {
		return err
	}
	if id.Key == "" || len(id.Key) > MaxKey {
		return refuse(identity.Invalid, "key of %d bytes, 1 to %d allowed", len(id.Key), MaxKey)
	}
	return nil
}

// Item is one piece of work as it is stored.
type Item struct {
	ID
	State   State          `json:"state"`
	Payload jsontext.Value `json:"payload,omitempty"`
	Due     time.Time      `json:"due"`             // not before
	Tries   int            `json:"tries,omitzero"`  // attempts that failed and count
	Waits   int            `json:"waits,omitzero"`  // attempts in a row put off because a peer was away
	Losses  int            `json:"losses,omitzero"` // leases in a row that were lost without a step
	Lease   Lease          `json:"lease,omitzero"`
	Step    Step           `json:"step,omitzero"`
	Next    *Next          `json:"next,omitzero"` // a newer payload that waits for the holder to finish (Renew)
	Failure *Failure       `json:"failure,omitzero"`
	History []Attempt      `json:"history,omitempty"` // newest last, at most 20
	Note    string         `json:"note,omitzero"`     // why a person gave it up
	Filed   time.Time      `json:"filed"`             // the time it stands under in the index of its state
	Created time.Time      `json:"created"`
	Updated time.Time      `json:"updated"`

	Version store.Version  `json:"-"`      // as read, for Edit
	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Lease says who has an item.
type Lease struct {
	Owner string    `json:"owner,omitzero"`
	Since time.Time `json:"since,omitzero"`
	Heard time.Time `json:"heard,omitzero"` // when it was last extended
	Until time.Time `json:"until,omitzero"` // for people; see doc.go for what counts
	Fence uint64    `json:"fence,omitzero"` // one more at every Take; never goes back

	Unknown jsontext.Value `json:",embed"`
}

// length is how long the holder may be silent.
func (l Lease) length() time.Duration { return l.Until.Sub(l.Heard) }

// Step is the last step a handler committed.
type Step struct {
	Name string         `json:"name,omitzero"`
	Data jsontext.Value `json:"data,omitempty"`
	At   time.Time      `json:"at,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Next is a payload that arrived while the item was leased.
type Next struct {
	Payload jsontext.Value `json:"payload,omitempty"`
	Due     time.Time      `json:"due"`

	Unknown jsontext.Value `json:",embed"`
}

// Failure is why the last attempt that failed did.
type Failure struct {
	At      time.Time     `json:"at"`
	Since   time.Time     `json:"since"` // first failure of the row that this one belongs to
	Code    identity.Code `json:"code,omitzero"`
	Words   string        `json:"words"`            // public
	Private string        `json:"private,omitzero"` // for administrators; without secrets, at most 1,024 bytes

	Unknown jsontext.Value `json:",embed"`
}

// Result is how an attempt, or what a person did, ended.
type Result string

// The results an item's history holds.
const (
	ResultDone     Result = "done"
	ResultFailed   Result = "failed"      // counted as a try
	ResultPutOff   Result = "put off"     // a peer was away or asked for silence; not counted
	ResultLost     Result = "lost"        // its worker died or froze
	ResultReturned Result = "handed back" // the replica stopped
	ResultDead     Result = "dead"
	ResultReplayed Result = "replayed"
	ResultEdited   Result = "edited"
	ResultGivenUp  Result = "given up"
)

// Attempt is one line of an item's history.
type Attempt struct {
	Began  time.Time     `json:"began"`
	Ended  time.Time     `json:"ended"`
	By     string        `json:"by"` // a replica, or the person who acted
	Result Result        `json:"result"`
	Code   identity.Code `json:"code,omitzero"`
	Words  string        `json:"words,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// remember adds a line to the history and drops the oldest beyond the limit.
func (it *Item) remember(a Attempt) {
	it.History = append(it.History, a)
	if extra := len(it.History) - maxHistory; extra > 0 {
		it.History = it.History[extra:]
	}
}

// ended adds the line of the attempt that ends now to the history.
func (it *Item) ended(now time.Time, result Result, f Failure) {
	it.remember(Attempt{
		Began: it.Lease.Since, Ended: now, By: it.Lease.Owner,
		Result: result, Code: f.Code, Words: f.Words,
	})
}

// move puts the item into state, standing at the time at.
func (it *Item) move(state State, at, now time.Time) {
	it.State, it.Filed, it.Updated = state, at, now
	if state != Leased {
		it.Lease = Lease{Fence: it.Lease.Fence}
	}
}

func checkPayload(payload jsontext.Value) error {
	if len(payload) > MaxPayload {
		return refuse(identity.Invalid, "payload of %d bytes, at most %d", len(payload), MaxPayload)
	}
	if len(payload) > 0 && !payload.IsValid() {
		return refuse(identity.Invalid, "the payload is not JSON")
	}
	return nil
}

// refuse is an error that a person may be shown the kind of.
func refuse(kind identity.Kind, format string, args ...any) error {
	code := identity.CodeBadRequest
	switch kind {
	case identity.NotFound:
		code = identity.CodeNotFound
	case identity.Conflict:
		code = ""
	}
	return &identity.Error{Kind: kind, Code: code, Err: fmt.Errorf("jobs: "+format, args...)}
}
