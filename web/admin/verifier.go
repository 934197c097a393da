package admin

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// ActionAuditVerify is a proof of the log that somebody asked for, and its end.
const ActionAuditVerify audit.Action = "audit.verify"

const (
	verifyPrefix  = "console/verify/"
	verifyKept    = 400 * 24 * time.Hour // past the yearly review
	verifyRunning = 2 * time.Minute      // of one that is under way: whose process dies is gone
	verifyTell    = time.Second          // how often progress is written
	verifyFaults  = 200                  // kept of those found; the count is whole
)

// Verification is one proof of the log, under way or ended.
type Verification struct {
	ID      string        `json:"id"`
	Replica string        `json:"replica"` // whose file was read
	By      string        `json:"by"`
	Began   time.Time     `json:"began"`
	Ended   time.Time     `json:"ended,omitzero"`
	Done    uint64        `json:"done"` // records read
	Total   uint64        `json:"total"`
	Report  *audit.Report `json:"report,omitempty"`
	Failure string        `json:"failure,omitempty"` // why there is no report
}

// Sound reports a proof that ended and found nothing.
func (p Verification) Sound() bool { return p.Report != nil && p.Report.FaultCount == 0 }

// Verifier proves the log beside the gateway, one proof at a time in this
// process, and keeps what came out, for every replica to show. It outlives a reload.
type Verifier struct {
	Store    store.Store
	Recorder Recorder
	Replica  string
	Verify   func(ctx context.Context, progress func(done, total uint64)) (audit.Report, error)
	Now      func() time.Time
	Logger   *slog.Logger

	mu   sync.Mutex
	stop context.CancelFunc // of the proof under way, nil when there is none
	work sync.WaitGroup
	over bool
}

// Run waits for the end of ctx and then stops what is under way.
func (f *Verifier) Run(ctx context.Context) {
	<-ctx.Done()
	f.mu.Lock()
	f.over = true
	if f.stop != nil {
		f.stop()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// Start begins a proof. The event is how its end is recorded. Conflict: one is
// under way here already.
func (f *Verifier) Start(ctx context.Context, event audit.Event) (Verification, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Verification{}, identity.Fail(identity.Internal, identity.CodeInternal, "admin: id: %w", err)
	}
	proof := Verification{ID: id.String(), Replica: f.Replica, By: event.Actor, Began: f.Now().UTC()}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil || f.over {
		stop()
		return proof, identity.Fail(identity.Conflict, identity.CodeChangedBetween, "admin: a verification is under way")
	}
	if err := f.keep(ctx, proof); err != nil {
		stop()
		return proof, err
	}
	f.stop = stop
	f.work.Go(func() { f.prove(working, proof, event) })
	return proof, nil
}

// prove runs to the end, which is kept and recorded also when it found a fault.
func (f *Verifier) prove(ctx context.Context, proof Verification, event audit.Event) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.stop()
		f.stop = nil
	}()
	told := f.Now()
	report, err := f.Verify(ctx, func(done, total uint64) {
		proof.Done, proof.Total = done, total
		if now := f.Now(); now.Sub(told) >= verifyTell {
			told = now
			f.note(f.keep(ctx, proof)) // the proof goes on without its picture
		}
	})
	proof.Ended = f.Now().UTC()
	event.Outcome, event.Detail = audit.OK, map[string]string{"id": proof.ID, "replica": f.Replica}
	switch {
	case err != nil && !errors.Is(err, audit.ErrFault):
		event.Outcome, proof.Failure = audit.Failed, err.Error()
	default:
		event.Detail["records"], event.Detail["faults"] = strconv.FormatUint(report.Records, 10), strconv.FormatUint(report.FaultCount, 10)
		for _, chain := range report.Chains {
			event.Detail["head "+chain.Replica] = strconv.FormatUint(chain.Last, 10) + " " + chain.Head
		}
		if report.FaultCount > 0 {
			event.Outcome = audit.Failed
		}
		report.Faults = report.Faults[:min(len(report.Faults), verifyFaults)]
		proof.Report, proof.Done, proof.Total = &report, report.Records, report.Records
	}
	last := context.WithoutCancel(ctx)
	f.note(f.Recorder.Append(last, event))
	f.note(f.keep(last, proof))
}

func (f *Verifier) note(err error) {
	if err != nil {
		f.Logger.Error("verification of the audit log", "error", err)
	}
}

func (f *Verifier) keep(ctx context.Context, proof Verification) error {
	text, err := json.Marshal(proof, jsonv1.FormatDurationAsNano(true))
	if err != nil {
		return identity.Fail(identity.Internal, identity.CodeInternal, "admin: keep a verification: %w", err)
	}
	life := verifyRunning
	if !proof.Ended.IsZero() {
		life = verifyKept
	}
	if err := f.Store.Commit(ctx, store.Put(verifyPrefix+proof.ID, text).For(life)); err != nil {
		return storeDown(err)
	}
	return nil
}

// List gives what is kept, the newest first.
func (f *Verifier) List(ctx context.Context) ([]Verification, error) {
	var list []Verification
	for after := ""; ; {
		page, err := f.Store.Scan(ctx, verifyPrefix, after, store.MaxPage)
		if err != nil {
			return nil, storeDown(err)
		}
		for _, entry := range page {
			var proof Verification
			if err := json.Unmarshal(entry.Value, &proof, jsonv1.FormatDurationAsNano(true)); err != nil {
				return nil, identity.Fail(identity.Internal, identity.CodeInternal, "admin: %s: %w", entry.Key, err)
			}
			list = append([]Verification{proof}, list...) // ids grow with time
			after = entry.Key
		}
		if len(page) < store.MaxPage {
			return list, nil
		}
	}
}

// Get gives one.
func (f *Verifier) Get(ctx context.Context, id string) (Verification, error) {
	var proof Verification
	if _, err := uuid.Parse(id); err != nil {
		return proof, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no verification is named so")
	}
	entry, err := f.Store.Get(ctx, verifyPrefix+id)
	if errors.Is(err, store.ErrNotFound) {
		return proof, identity.Fail(identity.NotFound, identity.CodeNotFound, "admin: no verification is named so")
	}
	if err != nil {
		return proof, storeDown(err)
	}
	if err := json.Unmarshal(entry.Value, &proof, jsonv1.FormatDurationAsNano(true)); err != nil {
		return proof, identity.Fail(identity.Internal, identity.CodeInternal, "admin: %s: %w", entry.Key, err)
	}
	return proof, nil
}
