package directory

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/store"
)

// Source is an organisation's address book: a *dingtalk.Client's view for jobs.
type Source interface {
	Scopes(ctx context.Context) (dingtalk.Scopes, error)
	Departments(ctx context.Context, from ...int64) ([]dingtalk.Department, error)
	Strangers(ctx context.Context, dept, from int64, familiar func(dingtalk.Sum) bool) iter.Seq2[dingtalk.Page, error]
	Person(ctx context.Context, userid string) (dingtalk.Person, error)
	Headcount(ctx context.Context, onlyActive bool) (int, error)
}

// Target is a data centre's staff: a *kingdee.Client's view for jobs.
type Target interface {
	AllStaff(ctx context.Context, l kingdee.Listing) iter.Seq2[kingdee.StaffRecord, error]
	AllDepartments(ctx context.Context, l kingdee.Listing) iter.Seq2[kingdee.DepartmentRecord, error]
	AllPosts(ctx context.Context, l kingdee.Listing) iter.Seq2[kingdee.PostRecord, error]
	SaveStaff(ctx context.Context, drafts []kingdee.StaffDraft) ([]kingdee.RowResult, error)
	SavePosts(ctx context.Context, drafts []kingdee.PostDraft) ([]kingdee.RowResult, error)
	SaveDepartments(ctx context.Context, drafts []kingdee.DepartmentDraft) ([]kingdee.RowResult, error)
	Operate(ctx context.Context, form string, op kingdee.Operation, ids ...string) ([]kingdee.RowResult, error)
	View(ctx context.Context, form, id string) (kingdee.Record, error)
}

// Accounts are the login users of one data centre, for the cut-off: a
// *kingdee.Client.
type Accounts interface {
	StaffByNumber(ctx context.Context, number string) ([]kingdee.Staff, error)
	UsersOfStaff(ctx context.Context, staff kingdee.Staff) ([]kingdee.User, error)
	ForbidUser(ctx context.Context, ids ...string) ([]kingdee.RowResult, error)
	EnableUser(ctx context.Context, ids ...string) ([]kingdee.RowResult, error)
	ForbidStaff(ctx context.Context, ids ...string) ([]kingdee.RowResult, error)
	EnableStaff(ctx context.Context, ids ...string) ([]kingdee.RowResult, error)
	SignOut(ctx context.Context, user string) error
}

// Doors are our own: what a leaver still holds of the gateway.
type Doors interface {
	// Freeze takes every mapping of the person out of force and gives the login
	// users that they led to, by data centre.
	Freeze(ctx context.Context, who identity.Subject, reason string) (map[string][]string, error)
	// EndSessions ends every session, open sockets included, on every replica.
	EndSessions(ctx context.Context, who identity.Subject) (int, error)
}

// Recorder writes the audit log: *audit.Log.
type Recorder interface {
	Append(ctx context.Context, event audit.Event) error
}

// Config is one organisation and the data centre that follows it. All but the
// last group are required.
type Config struct {
	Corp       string
	DataCentre string // id in our configuration, for people
	Source     Source
	Target     Target
	Store      store.Store
	Recorder   Recorder
	Rules      Rules

	// Accounts are the login users that Kingdee makes beside new records, which
	// Undo forbids with them, all but Spared; nil: they are left.
	Accounts Accounts
	Spared   []string

	Numbers Numbers // nil: the rule alone counts
	// Consents hold back the data of whoever has not agreed; nil: none is asked.
	Consents Consents
	Minimum  bool // without consent the minimum is written, not nothing
	Forms    Forms
	Breaker  Breaker
	Release  string // of this program: what another one made of a text is made anew
	Readers  int    // pages read at once, default 8
	Writers  int    // batches written at once, default 2
	Now      func() time.Time
	Logger   *slog.Logger
}

// Forms are the form ids that operations are run on; the zero value takes the
// vendor's.
type Forms struct {
	Staff      string // default BD_Empinfo
	Number     string // key that look-ups of staff name; default FStaffNumber
	Forbid     string // key that tells whether staff are forbidden; default FForbidStatus
	Department string // default BD_Department
	Post       string // default BD_NEWSTAFF
	PostPerson string // key that look-ups of post records name; default FPerson.FNumber
	// Entries and EntryID are where View shows the posts of a staff record;
	// defaults PostEntity and Id. Main is the property that marks the main one.
	Entries, EntryID, Main string
}

// Breaker stops a run that would forbid too many (F55, R46). The zero value
// takes 5 % and 20.
type Breaker struct {
	Share float64 // of the people known
	Least int     // so many are always admitted
}

const (
	defaultReaders = 8
	defaultWriters = 2
	defaultShare   = 0.05
	defaultLeast   = 20
)

func (c Config) withDefaults() (Config, error) {
	var wrong []error
	if c.Corp == "" || c.Source == nil || c.Target == nil || c.Store == nil || c.Recorder == nil {
		wrong = append(wrong, errors.New("directory: corp, source, target, store and recorder are required"))
	}
	var err error
	if c.Rules, err = c.Rules.withDefaults(); err != nil {
		wrong = append(wrong, err)
	}
	orText(&c.Forms.Staff, "BD_Empinfo")
	orText(&c.Forms.Number, "FStaffNumber")
	orText(&c.Forms.Forbid, "FForbidStatus")
	orText(&c.Forms.Department, "BD_Department")
	orText(&c.Forms.Post, "BD_NEWSTAFF")
	orText(&c.Forms.PostPerson, "FPerson.FNumber")
	orText(&c.Forms.Entries, "PostEntity")
	orText(&c.Forms.EntryID, "Id")
	orText(&c.Forms.Main, "IsFirstPost")
	if c.Breaker.Share <= 0 {
		c.Breaker.Share = defaultShare
	}
	if c.Breaker.Least <= 0 {
		c.Breaker.Least = defaultLeast
	}
	if c.Readers <= 0 {
		c.Readers = defaultReaders
	}
	if c.Writers <= 0 {
		c.Writers = defaultWriters
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, errors.Join(wrong...)
}

func orText(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// admits reports whether so many leavers among so many known people may go
// without a person's word.
func (b Breaker) admits(leavers, known int) bool {
	return leavers <= max(b.Least, int(b.Share*float64(known)))
}
