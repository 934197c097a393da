package localapi

import (
	"context"
	"io"

	"kdgate/identity"
	"kdgate/internal/checkup"
	"kdgate/internal/moving"
	"kdgate/jobs/directory"
	"kdgate/mapping"
)

// Prefix is where the routes begin.
const Prefix = "/local/"

// Table is what the routes do; *mapping.Table does it. The handler asks for it
// at every request, because a reload replaces it.
type Table interface {
	List(ctx context.Context, f mapping.Filter, cursor string, limit int) ([]mapping.Entry, string, error)
	Get(ctx context.Context, key mapping.Key) (mapping.Entry, error)
	Change(ctx context.Context, by mapping.Actor, key mapping.Key, e mapping.Edit) (mapping.Entry, error)
	Suspend(ctx context.Context, by mapping.Actor, key mapping.Key, reason string) (mapping.Entry, error)
	Reinstate(ctx context.Context, by mapping.Actor, key mapping.Key, version uint64) (mapping.Entry, error)
	Explain(ctx context.Context, a identity.Assertion, dataCentre string) (mapping.Chain, error)
	ExportCSV(ctx context.Context, by mapping.Actor, w io.Writer, f mapping.Filter, p mapping.Progress) error
	ExportXLSX(ctx context.Context, by mapping.Actor, w io.Writer, f mapping.Filter, p mapping.Progress) error
	Plan(ctx context.Context, by mapping.Actor, sheet *mapping.Sheet, p mapping.Progress) (*mapping.Plan, error)
	Apply(ctx context.Context, by mapping.Actor, plan *mapping.Plan, o mapping.ApplyOptions) (mapping.Run, error)
	Undo(ctx context.Context, by mapping.Actor, run string, p mapping.Progress) (mapping.Run, error)
}

// Keeper saves and restores the state as a whole.
type Keeper interface {
	Backup(ctx context.Context, by mapping.Actor, w io.Writer) error
	Restore(ctx context.Context, by mapping.Actor, body io.Reader, o moving.Options) (moving.Restored, error)
	// ResetBreakGlass writes a new one-time secret of the console's emergency
	// account into a file and names it.
	ResetBreakGlass(ctx context.Context, by mapping.Actor) (file string, err error)
}

// Act is what a person decides about one row.
type Act string

// The acts.
const (
	ActSuspend Act = "suspend" // nobody comes in by this row until it is resumed
	ActResume  Act = "resume"  // the one way back (T23)
	ActRebind  Act = "rebind"  // the row belongs to whoever signs in next: after a re-hire (T19)
)

// decision is the body of an act.
type decision struct {
	Key    mapping.Key `json:"key"`
	Act    Act         `json:"act"`
	Reason string      `json:"reason,omitempty"`
}

// Page is one page of rows.
type Page struct {
	Entries []mapping.Entry `json:"entries"`
	Next    string          `json:"next,omitempty"` // cursor of the next page, empty at the end
}

// Explanation is one person's chain, with what broke it.
type Explanation struct {
	Chain mapping.Chain `json:"chain"`
	Code  identity.Code `json:"code,omitempty"`
	Cause string        `json:"cause,omitempty"` // for the administrator
}

// Import is what an import or an undo came to.
type Import struct {
	Plan *mapping.Plan `json:"plan,omitempty"`
	Run  *mapping.Run  `json:"run,omitempty"` // nil after a dry run
}

// line is one line of a long answer: progress as it comes, the end last.
type line struct {
	Done     int               `json:"done,omitzero"`
	Total    int               `json:"total,omitzero"`
	Result   *Import           `json:"result,omitempty"`
	Restored *moving.Restored  `json:"restored,omitempty"`
	Phase    directory.Phase   `json:"phase,omitzero"`
	Run      *directory.Run    `json:"run,omitempty"`
	Change   *directory.Change `json:"change,omitempty"`
	End      bool              `json:"end,omitzero"`
	Checkup  *checkup.Result   `json:"checkup,omitempty"`
	Fault    *Fault            `json:"error,omitempty"`
}

// Fault is an error on this wire. The caller is an administrator of this
// machine, so it carries the private half too.
type Fault struct {
	Kind  identity.Kind `json:"kind"`
	Code  identity.Code `json:"code,omitempty"`
	Words string        `json:"words"`
}

func (f *Fault) Error() string { return f.Words }

// faultOf puts an error on the wire.
func faultOf(err error) *Fault {
	return &Fault{Kind: identity.KindOf(err), Code: identity.CodeOf(err), Words: err.Error()}
}

// restore makes the error that the other side had.
//
// Its words begin with the code already, so they are not put in front again.
func (f *Fault) restore() error { return &identity.Error{Kind: f.Kind, Err: f} }
