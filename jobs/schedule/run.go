package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/store"
)

// State is where a run stands; doc.go draws the ways.
type State string

// The states.
const (
	Running  State = "running"
	Complete State = "complete"
	Partial  State = "partial"
	Failed   State = "failed"
	Stopped  State = "stopped"
)

// Run is one run of a task.
type Run struct {
	Task    string    `json:"task"`
	ID      string    `json:"id"` // sorts newest first within its task
	State   State     `json:"state"`
	By      string    `json:"by"`                // audit.System, or the person who asked
	For     string    `json:"for,omitzero"`      // what RunFor was told; a task that knows it does that or nothing
	Replica string    `json:"replica"`           // who ran it
	Token   uint64    `json:"token"`             // of the lease it was run under
	Attempt int       `json:"attempt,omitzero"`  // 1, or more when a replica before could not finish
	Began   time.Time `json:"began"`             //
	Ended   time.Time `json:"ended,omitzero"`    //
	Updated time.Time `json:"updated,omitzero"`  // last word of its progress
	Done    int64     `json:"done,omitzero"`     // of Total
	Total   int64     `json:"total,omitzero"`    // 0: not known
	Words   string    `json:"words,omitzero"`    // what it is at, or came to; public
	Counts  Counts    `json:"counts,omitempty"`  // what it did, by name
	Failure *Failure  `json:"failure,omitempty"` // why it is failed or partial

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// Counts are named numbers, such as created, changed, refused.
type Counts map[string]int64

// Failure is why a run did not do all it should.
type Failure struct {
	Code    identity.Code `json:"code,omitzero"`
	Words   string        `json:"words"`            // public
	Private string        `json:"private,omitzero"` // for administrators, without secrets
}

// mark is the account of a task.
type mark struct {
	UpTo  time.Time `json:"up_to"`          // what was due until then was run or is missed
	Again int       `json:"again,omitzero"` // a run has to be begun again, as this attempt
	Asked *wish     `json:"asked,omitzero"` // of that run, when more than a run was asked for

	Unknown jsontext.Value `json:",embed"`
}

// wish is what a person asked for.
type wish struct {
	By  string    `json:"by"`
	At  time.Time `json:"at"`
	Run string    `json:"run,omitzero"` // the run that is to be stopped
	For string    `json:"for,omitzero"` // of a run: what it is for

	Unknown jsontext.Value `json:",embed"`
}

// Pause says who paused a task, and why.
type Pause struct {
	By    string    `json:"by"`
	Why   string    `json:"why,omitzero"`
	Since time.Time `json:"since"`
}

const (
	prefixTask  = "schedule/task/"
	prefixPause = "schedule/pause/"
	prefixWish  = "schedule/wish/"
	prefixRun   = "schedule/run/"
)

func wishRun(task string) string    { return prefixWish + task + "/run" }
func wishStop(task string) string   { return prefixWish + task + "/stop" }
func runPrefix(task string) string  { return prefixRun + task + "/" }
func runKey(task, id string) string { return runPrefix(task) + id }
func runID(began time.Time) string  { return fmt.Sprintf("%016d", int64(1e16)-1-began.UnixMicro()) }
func (s *Schedule) now() time.Time  { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

// load decodes the value of key into v and reports whether there is one.
func (s *Schedule) load(ctx context.Context, key string, v any) (bool, error) {
	entry, err := s.cfg.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, storeError(err)
	}
	if err := json.Unmarshal(entry.Value, v); err != nil {
		return false, identity.Fail(identity.Internal, identity.CodeInternal, "schedule: %q: %w", key, err)
	}
	return true, nil
}

func put(key string, v any) (store.Op, error) {
	value, err := json.Marshal(v)
	if err != nil {
		return store.Op{}, identity.Fail(identity.Internal, identity.CodeInternal, "schedule: encode %q: %w", key, err)
	}
	return store.Put(key, value), nil
}

func storeError(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, "", "schedule: %w", err)
	}
	return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "schedule: %w", err)
}

// asked is the wish that a run came of, nil unless it was for a purpose.
func (r Run) asked() *wish {
	if r.For == "" {
		return nil
	}
	return &wish{By: r.By, At: r.Began, For: r.For}
}
