package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/jobs"
	"kdgate/web/admin"
)

// slowLog is the real log, which may take as long to count as a test likes.
type slowLog struct {
	*audit.Log
	held chan struct{} // nil: it is quick
	err  error
}

func (l *slowLog) Tallies(ctx context.Context, actions []audit.Action, from time.Time) ([]audit.Tally, uint64, error) {
	if l.err != nil {
		return nil, 0, l.err
	}
	if l.held != nil {
		select {
		case <-l.held:
		case <-ctx.Done():
		}
	}
	return l.Log.Tallies(ctx, actions, from)
}

// counting counts a log beside the requests.
func (h *house) counting(log admin.Counter, wait time.Duration) *admin.Traffic {
	traffic := &admin.Traffic{Log: log, Now: h.clock.Now, Wait: wait}
	h.inBackground(traffic.Run)
	return traffic
}

// overview is the first page over the real log, with everything around it.
func (h *house) overview(logger *slog.Logger) *admin.Overview {
	return &admin.Overview{
		Traffic: h.counting(h.log, 20*time.Second), Health: wellness, Rows: h.index, Now: h.clock.Now, Checkups: h.checkups(logger),
		Requests: func(ctx context.Context) (int, error) { return h.book.Waiting(ctx) },
		Work:     func(ctx context.Context) ([]jobs.Count, error) { return h.queue.Counts(ctx) },
		Quotas:   func(ctx context.Context) []admin.QuotaInfo { return h.quotaPage().Quotas(ctx) },
	}
}

// F15: whose fault a failure was, by hour, with rate and budget; and reads that
// go on see only what is new.
func TestOverview(t *testing.T) {
	h := newHouse(t)
	record := func(outcome audit.Outcome, reason string, n int) {
		for range n {
			must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionSignIn, Outcome: outcome, Reason: reason, Actor: "dingcorp1/x"}))
		}
	}
	record(audit.OK, "", 17)
	record(audit.Refused, "KD-102", 4)
	record(audit.Failed, "KD-111", 2)
	record(audit.Failed, "KD-401", 1)
	b := h.enter("auditor01")
	for i := range 2 {
		var p admin.Picture
		decode(t, b.get("/admin/api/v1/overview"), &p)
		if p.Faults["none"] != 17+i || p.Faults["user"] != 4 || p.Faults["dingtalk"] != 2 || p.Faults["kingdee"] != 1 || p.Faults["gateway"] != i || len(p.Hours) != 24 {
			t.Fatalf("%+v", p)
		}
		if i == 0 && (p.Rate != 0.85 || p.Budget != 0) || i == 1 && p.Budget < 200 {
			t.Errorf("rate %v, budget %v", p.Rate, p.Budget)
		}
		record(audit.OK, "", 1)
		record(audit.Failed, "", 1)
		h.clock.Advance(time.Minute)
	}
	b.get("/admin/").has(t, http.StatusOK, "KD-102", "the disk is full", "<svg")
}

// F31: the overview shows what waits, the peers and the quota to whoever sees
// them elsewhere too, and failures by hour and reason, drawn.
func TestOverviewAround(t *testing.T) {
	h := newHouse(t)
	for code, n := range map[string]int{"KD-102": 7, "KD-111": 6, "KD-401": 5, "KD-203": 4, "KD-204": 3, "KD-205": 2, "KD-206": 1} {
		for range n {
			must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionMint, Outcome: audit.Failed, Reason: code, Actor: "dingcorp1/x"}))
		}
	}
	h.deadItem("x", `{}`)
	admins := h.enter("manager01")
	admins.post("/admin/connections").has(t, http.StatusSeeOther)
	var page answer
	for page = admins.get("/admin/"); !strings.Contains(page.body, `id="peers"`); page = admins.get("/admin/") {
		if t.Context().Err() != nil {
			t.Fatal("the peers are never tested")
		}
	}
	page.has(t, http.StatusOK, `id="dead">1<`, `id="requests">0<`, "1 faults", "1 warnings", "2000", `class="swatch r5"`, "Others <strong>3</strong>", "KD-102 <strong>7</strong>")
	auditor := h.enter("auditor01")
	other := auditor.get("/admin/")
	other.has(t, http.StatusOK, `id="peers"`, "KD-102")
	for _, hidden := range []string{`id="dead"`, `id="requests"`, "2000", `id="coverage"`} {
		if strings.Contains(other.body, hidden) {
			t.Errorf("an auditor sees %s", hidden)
		}
	}
	var p admin.Picture
	decode(t, auditor.get("/admin/api/v1/overview"), &p)
	if p.Waiting != (admin.Waiting{}) || len(p.Quotas) != 0 || p.Mapping != nil || len(p.Peers) == 0 || p.Counted.IsZero() || p.Hours[23].Codes["KD-111"] != 6 {
		t.Errorf("%+v", p)
	}
}

// F31: the page does not wait for the log. What is not counted yet is said to be
// under way, and comes with the next look.
func TestOverviewDoesNotWait(t *testing.T) {
	h := newHouse(t)
	slow := &slowLog{Log: h.log, held: make(chan struct{})}
	h.build(&admin.Overview{Traffic: h.counting(slow, time.Millisecond), Health: wellness, Now: h.clock.Now})
	must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionSignIn, Outcome: audit.OK, Actor: "dingcorp1/x"}))
	b := h.enter("auditor01")
	b.get("/admin/").has(t, http.StatusOK, `id="counting"`, `hx-trigger="every 1s"`)
	close(slow.held)
	var p admin.Picture
	for p.Counted.IsZero() {
		decode(t, b.get("/admin/api/v1/overview"), &p)
	}
	if p.Faults["none"] != 1 {
		t.Errorf("%+v", p)
	}
}

// A log that cannot be counted is a failure with its code, and no zero.
func TestOverviewSaysThatItCannotCount(t *testing.T) {
	h := newHouse(t)
	broken := &slowLog{Log: h.log, err: errors.New("disk I/O error")}
	h.build(&admin.Overview{Traffic: h.counting(broken, 20*time.Second), Health: wellness, Now: h.clock.Now})
	h.enter("auditor01").get("/admin/").has(t, http.StatusServiceUnavailable, "KD-502")
}
