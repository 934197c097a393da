package mapping

import (
	"context"
	"fmt"
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
	VerifyTimeout time.Duration // longest wait for all questions about one person; 8 seconds when zero
	Now           func() time.Time

	// Restored is when the store was last restored from a backup, zero for never;
	// nil: never. What is known of a row since before that is asked anew (R64).
	Restored func() time.Time

	// Witness puts right what a failover put back; nil: nobody does, and such a row
	// is an error until the process ends.
	Witness Witness
}

// Table is the mapping table of one installation. It is safe for concurrent use
// and holds no rows itself, save for a second those that Expect read: every
// call reads the store (T41).
type Table struct {
	cfg        Config
	number     numberSource
	privileged map[string]struct{} // skeletons
	flights    singleflight.Group
	late       late
	ahead      *ahead
}

// alwaysPrivileged are the login users every Kingdee is delivered with (T18).
var alwaysPrivileged = [...]string{"Administrator", "guest"}

// New builds a Table.
func New(cfg Config) (*Table, error) {
	if cfg.Store == nil || cfg.Recorder == nil {
		return nil, fmt.Errorf("mapping: a table needs a store and a recorder")
	}
	number, err := parseNumberSource(cfg.StaffNumberFrom)
	if err != nil {
		return nil, err
	}
	if cfg.VerifyMaxAge <= 0 {
		cfg.VerifyMaxAge = 10 * time.Minute
	}
	if cfg.VerifyTimeout <= 0 {
		cfg.VerifyTimeout = 8 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	kept := newAhead(cfg.Store, cfg.Now)
	cfg.Store = kept
	t := &Table{cfg: cfg, number: number, privileged: map[string]struct{}{}, ahead: kept}
	for _, login := range append(alwaysPrivileged[:], cfg.Privileged...) {
		t.privileged[skeleton(login)] = struct{}{}
	}
	return t, nil
}

// isPrivileged compares folded, so that administrator is Administrator too:
// whether Kingdee tells them apart is unknown.
func (t *Table) isPrivileged(loginUser string) bool {
	_, yes := t.privileged[skeleton(loginUser)]
	return yes
}

// now is the time as it is stored: UTC, whole milliseconds.
func (t *Table) now() time.Time { return t.cfg.Now().UTC().Truncate(time.Millisecond) }
