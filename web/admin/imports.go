package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/google/uuid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/mapping"
	"kdgate/store"
)

const (
	uploadPrefix = "console/upload/"
	partPrefix   = "console/upload-part/"
	partSize     = 512 << 10
	uploadLife   = 72 * time.Hour   // from the upload to a second administrator's agreement
	jobLife      = 30 * time.Minute // how long a finished job is kept in memory
	jobTime      = 15 * time.Minute
	maxJobs      = 8 // in memory at once; each holds a plan of up to 100,000 rows

	// fourEyesRows is how many rows one person may change at once (T100).
	fourEyesRows = 50
)

// Bulk is what a change of many rows does.
type Bulk string

// The kinds of change.
const (
	BulkImport    Bulk = "import"
	BulkSuspend   Bulk = "suspend"
	BulkReinstate Bulk = "reinstate"
	BulkUndo      Bulk = "undo"
)

// Upload is a change of many rows that was proposed: a file, or a choice of
// rows. It is kept in the store, so that another administrator can agree to it
// later, and on another replica.
type Upload struct {
	ID      string    `json:"id"`
	Kind    Bulk      `json:"kind"`
	By      string    `json:"by"`
	Admin   bool      `json:"admin"` // the author's role when it was proposed
	At      time.Time `json:"at"`
	Name    string    `json:"name,omitzero"`   // of the file, for people's eyes only
	Format  string    `json:"format,omitzero"` // csv or xlsx
	Reason  string    `json:"reason,omitzero"`
	Parts   int       `json:"parts"`
	Waiting bool      `json:"waiting,omitzero"` // its author asked for it, and another has to agree
	Run     string    `json:"run,omitzero"`     // it was applied as this run

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)

	version store.Version
}

// Imports holds proposals in the store and works on them in the background.
type Imports struct {
	Store  store.Store
	Now    func() time.Time
	Logger *slog.Logger

	mu   sync.Mutex
	jobs map[string]*job
	work sync.WaitGroup
	over bool // no new job is begun
}

// job is one proposal being worked on in this process.
type job struct {
	cancel context.CancelFunc

	mu    sync.Mutex
	state progress
	plan  *mapping.Plan
	ended time.Time
}

// progress is where a job stands, as the page and the API show it.
type progress struct {
	Phase string // checking, ready, applying, undoing, done, failed
	Done  int
	Total int // zero: not known
	Run   string
	Err   error
}

func (j *job) snapshot() (progress, *mapping.Plan) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state, j.plan
}

func (j *job) set(change func(*progress)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.state)
}

func (j *job) tell(done, total int) {
	j.set(func(p *progress) { p.Done, p.Total = done, total })
}

// Run waits for the end of ctx and then stops what is under way: an import that
// is cut is taken back as a whole, here or at the next start.
func (m *Imports) Run(ctx context.Context) {
	<-ctx.Done()
	m.mu.Lock()
	m.over = true
	for _, j := range m.jobs {
		j.cancel()
	}
	m.mu.Unlock()
	m.work.Wait()
}

// Propose keeps a proposal with its content.
func (m *Imports) Propose(ctx context.Context, u Upload, content []byte) (Upload, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return u, identity.Fail(identity.Internal, identity.CodeInternal, "admin: id: %w", err)
	}
	u.ID, u.At = id.String(), m.Now().UTC()
	for part := range slices.Chunk(content, partSize) {
		key := fmt.Sprintf("%s%s/%04d", partPrefix, u.ID, u.Parts)
		if err := m.Store.Commit(ctx, store.Create(key, part).For(uploadLife)); err != nil {
			return u, storeDown(err)
		}
		u.Parts++
	}
	return u, m.save(ctx, u)
}

func (m *Imports) save(ctx context.Context, u Upload) error {
	text, err := json.Marshal(u)
	if err != nil {
		return fmt.Errorf("admin: upload: %w", err)
	}
	err = m.Store.Commit(ctx, store.Over(uploadPrefix+u.ID, text, u.version).For(uploadLife))
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: upload: %w", err)
	}
	if err != nil {
		return storeDown(err)
	}
	return nil
}

// Get reads a proposal.
func (m *Imports) Get(ctx context.Context, id string) (Upload, error) {
	if _, err := uuid.Parse(id); err != nil {
		return Upload{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no such upload")
	}
	entry, err := m.Store.Get(ctx, uploadPrefix+id)
	if errors.Is(err, store.ErrNotFound) {
		return Upload{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no such upload")
	}
	if err != nil {
		return Upload{}, storeDown(err)
	}
	return decodeUpload(entry)
}

func decodeUpload(entry store.Entry) (Upload, error) {
	u := Upload{version: entry.Version}
	if err := json.Unmarshal(entry.Value, &u); err != nil {
		return u, identity.Fail(identity.Internal, identity.CodeInternal, "admin: upload: %w", err)
	}
	return u, nil
}

// Waiting lists the proposals that wait for a second administrator.
func (m *Imports) Waiting(ctx context.Context) ([]Upload, error) {
	var list []Upload
	for after := ""; ; {
		page, err := m.Store.Scan(ctx, uploadPrefix, after, store.MaxPage)
		if err != nil {
			return nil, storeDown(err)
		}
		if len(page) == 0 {
			return list, nil
		}
		for _, entry := range page {
			u, err := decodeUpload(entry)
			if err != nil {
				return nil, err
			}
			if u.Waiting && u.Run == "" {
				list = append(list, u)
			}
			after = entry.Key
		}
	}
}

// content reads what was uploaded.
func (m *Imports) content(ctx context.Context, u Upload) ([]byte, error) {
	var all []byte
	for n := range u.Parts {
		entry, err := m.Store.Get(ctx, fmt.Sprintf("%s%s/%04d", partPrefix, u.ID, n))
		if err != nil {
			return nil, storeDown(err)
		}
		all = append(all, entry.Value...)
	}
	return all, nil
}

// job gives the job of a proposal, and begins one that checks it where this
// process has none: any replica can show any proposal.
func (m *Imports) job(ctx context.Context, table *mapping.Table, u Upload) (*job, error) {
	return m.start(ctx, u.ID, "checking", false, func(ctx context.Context, j *job) error {
		plan, err := m.check(ctx, table, u, j.tell)
		if err != nil {
			return err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.plan, j.state = plan, progress{Phase: "ready", Run: u.Run}
		return nil
	})
}

// check works out what a proposal would do now.
func (m *Imports) check(ctx context.Context, table *mapping.Table, u Upload, tell mapping.Progress) (*mapping.Plan, error) {
	content, err := m.content(ctx, u)
	if err != nil {
		return nil, err
	}
	by := mapping.Actor{Name: u.By, Admin: u.Admin}
	if u.Kind == BulkImport {
		sheet, err := parseSheet(u.Format, bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		return table.Plan(ctx, by, sheet, tell)
	}
	var keys []mapping.Key
	if err := json.Unmarshal(content, &keys); err != nil {
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "admin: upload: %w", err)
	}
	if u.Kind == BulkReinstate {
		return table.PlanReinstate(ctx, by, keys)
	}
	return table.PlanSuspend(ctx, by, keys, u.Reason)
}

func parseSheet(format string, r io.Reader) (*mapping.Sheet, error) {
	if format == "xlsx" {
		return mapping.ParseXLSX(r)
	}
	return mapping.ParseCSV(r)
}

// start gives the job under a name, or begins it. anew replaces one that has
// come to rest.
func (m *Imports) start(ctx context.Context, name, phase string, anew bool, work func(context.Context, *job) error) (*job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j, there := m.jobs[name]; there {
		state, _ := j.snapshot()
		switch {
		case !anew:
			return j, nil
		case running(state):
			return nil, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: it is under way already")
		}
	}
	if err := m.room(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobTime)
	j := &job{cancel: cancel, state: progress{Phase: phase}}
	if m.jobs == nil {
		m.jobs = map[string]*job{}
	}
	m.jobs[name] = j
	m.work.Go(func() {
		defer cancel()
		if err := work(ctx, j); err != nil {
			m.Logger.Warn("bulk change", "job", name, "error", err)
			j.set(func(p *progress) { p.Phase, p.Err = "failed", err })
		}
		j.mu.Lock()
		j.ended = m.Now()
		j.mu.Unlock()
	})
	return j, nil
}

// room forgets jobs that are over, and refuses more than there is memory for.
// Called with mu held.
func (m *Imports) room() error {
	if m.over {
		return identity.Fail(identity.Unavailable, identity.CodeStoreDown, "admin: the gateway is stopping")
	}
	oldest, at := "", time.Time{}
	for name, j := range m.jobs {
		j.mu.Lock()
		ended := j.ended
		j.mu.Unlock()
		switch {
		case ended.IsZero():
		case m.Now().Sub(ended) > jobLife:
			delete(m.jobs, name)
		case oldest == "" || ended.Before(at):
			oldest, at = name, ended
		}
	}
	if len(m.jobs) < maxJobs {
		return nil
	}
	if oldest == "" {
		return identity.Fail(identity.Throttled, identity.CodeTooManyTries, "admin: %d bulk changes are under way", len(m.jobs))
	}
	delete(m.jobs, oldest) // it is made again when somebody looks
	return nil
}

// apply begins to write a plan. The actor is the author; who agreed is in a
// record of its own.
func (m *Imports) apply(ctx context.Context, table *mapping.Table, u Upload, by mapping.Actor) error {
	m.mu.Lock()
	j := m.jobs[u.ID]
	m.mu.Unlock()
	if j == nil {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: the preview is not there any more")
	}
	_, plan := j.snapshot()
	if plan == nil {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: the preview is not ready")
	}
	_, err := m.start(ctx, u.ID, "applying", true, func(ctx context.Context, j *job) error {
		j.mu.Lock()
		j.plan = plan
		j.mu.Unlock()
		run, err := table.Apply(ctx, by, plan, mapping.ApplyOptions{Progress: j.tell})
		if err != nil {
			return err
		}
		u.Run, u.Waiting = run.ID, false
		j.set(func(p *progress) { *p = progress{Phase: "done", Run: run.ID} })
		return m.save(context.WithoutCancel(ctx), u)
	})
	return err
}

// undo begins to take a run back.
func (m *Imports) undo(ctx context.Context, table *mapping.Table, run string, by mapping.Actor) error {
	_, err := m.start(ctx, undoName(run), "undoing", true, func(ctx context.Context, j *job) error {
		if _, err := table.Undo(ctx, by, run, j.tell); err != nil {
			return err
		}
		j.set(func(p *progress) { *p = progress{Phase: "done", Run: run} })
		return nil
	})
	return err
}

func undoName(run string) string { return "undo-" + run }

// undoing is the job that takes a run back, nil when this process has none.
func (m *Imports) undoing(run string) *job {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.jobs[undoName(run)]
}

// running reports whether a proposal is being written now.
func running(p progress) bool {
	return p.Phase == "applying" || p.Phase == "undoing" || p.Phase == "checking"
}

// ActionBulkPropose and ActionBulkApprove are the two halves of four eyes.
const (
	ActionBulkPropose audit.Action = "mapping.bulk.propose"
	ActionBulkApprove audit.Action = "mapping.bulk.approve"
)

// cleanName keeps of a file's name what can be shown.
func cleanName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if len(name) > 120 {
		name = name[:120]
	}
	return strings.ToValidUTF8(name, "")
}
