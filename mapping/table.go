package mapping

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/singleflight"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/store"
)

// Recorder is the audit log: it returns when the record is durable.
type Recorder interface {
	Append(ctx context.Context, e audit.Event) error
}

// Directory is what is asked of Kingdee, once for each data centre. An empty
// answer means "asked, and there is none"; an error means "could not ask".
type Directory interface {
	StaffByNumber(ctx context.Context, number string) ([]kingdee.Staff, error)
	UsersOfStaff(ctx context.Context, staff kingdee.Staff) ([]kingdee.User, error)
	UserByName(ctx context.Context, name string) ([]kingdee.User, error)
}

// Profiler is what is asked of DingTalk, once for each organisation, and only
// when the staff number is an attribute of the profile.
type Profiler interface {
	Profile(ctx context.Context, userid string) (identity.Profile, error)
}

// Config is what a Table is made of. Store and Recorder are required.
type Config struct {
	Store       store.Store
	Recorder    Recorder
	Directories map[string]Directory // by data centre; one that is missing cannot be asked
	Profiles    map[string]Profiler  // by corp

	StaffNumberFrom string   // userid (default), job_number, extension:NAME or none
	Privileged      []string // login users that need two approvals (F10)
	TrustTable      bool     // login users are not linked to people in this Kingdee: do not compare them (reference 5, route R0)

	VerifyMaxAge  time.Duration // how long Kingdee's word on a person is good; 10 minutes when zero
	AllowCached   time.Duration // how old a word may serve while Kingdee cannot be asked; zero: fail closed (R28)
	VerifyTimeout time.Duration // for all questions about one person; 8 seconds when zero
	Now           func() time.Time
}

// Table is the mapping table of one installation. It is safe for concurrent use
// and holds no rows itself: every call reads the store (T41).
type Table struct {
	cfg     Config
	flights singleflight.Group
}

// Actor is who changes the table. The caller has proven it, and the role.
type Actor struct {
	Name      string // as in audit.Event: audit.Person(subject), audit.System or "cli:USER"
	Admin     bool   // holds the role admin: may share, privilege, approve and reinstate
	Source    string // client address
	RequestID string
}

// Draft is a new row.
type Draft struct {
	Key         Key
	UnionID     string // empty: bound at the first sign-in
	StaffNumber string // empty: derived
	LoginUser   string // empty: found through the staff number at the first sign-in
	Owner       Owner  // empty: manual
	Shared      bool
	Privileged  bool
	Note        string
}

// Edit changes a row; a nil field stays as it is.
type Edit struct {
	Version     uint64  // the version the editor saw; another one now is identity.Conflict (T26)
	UnionID     *string // gives the row to another hire, or (empty) to whoever signs in next (T19)
	StaffNumber *string
	LoginUser   *string
	Owner       *Owner
	Shared      *bool
	Privileged  *bool
	Note        *string
}

// Filter chooses rows; zero fields choose all.
type Filter struct {
	DataCentre string
	Corp       string
	Status     Status
	Owner      Owner
	Code       identity.Code // of the last check
	Shared     bool          // only rows that may share
	Privileged bool          // only privileged rows
	Text       string        // part of userid, staff number, login user or note
}

var errNotBuilt = errors.New("mapping: not built yet")

// Get returns a row, or identity.NotFound.
func (t *Table) Get(ctx context.Context, k Key) (Entry, error) { return Entry{}, errNotBuilt }

// List returns at most limit rows after the cursor, and the cursor of the next page (empty: the end).
func (t *Table) List(ctx context.Context, f Filter, cursor string, limit int) ([]Entry, string, error) {
	return nil, "", errNotBuilt
}

// Create writes a new row.
func (t *Table) Create(ctx context.Context, by Actor, d Draft) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Change edits a row.
func (t *Table) Change(ctx context.Context, by Actor, k Key, e Edit) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Suspend takes a row out of force.
func (t *Table) Suspend(ctx context.Context, by Actor, k Key, reason string) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Reinstate puts a suspended row back in force; nothing else does (T23).
func (t *Table) Reinstate(ctx context.Context, by Actor, k Key, version uint64) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Approve adds the actor's approval to a row.
func (t *Table) Approve(ctx context.Context, by Actor, k Key, version uint64) (Entry, error) {
	return Entry{}, errNotBuilt
}

// Resolve walks the chain of a proven person to their account.
func (t *Table) Resolve(ctx context.Context, a identity.Assertion, dataCentre string) (identity.Account, error) {
	return identity.Account{}, errNotBuilt
}

// Explain walks the same way, changes nothing, and tells every link.
func (t *Table) Explain(ctx context.Context, a identity.Assertion, dataCentre string) (Chain, error) {
	return Chain{}, errNotBuilt
}
