package admin_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/web/admin"
)

// quotaPage is a page over one organisation, ten days into a month of thirty-one.
func (h *house) quotaPage() *admin.Quota {
	ends := time.Date(2026, 3, 31, 16, 0, 0, 0, time.UTC) // the first of April in Beijing
	return &admin.Quota{
		Quotas: func(context.Context) []admin.QuotaInfo {
			return []admin.QuotaInfo{{
				Corp: corp, Calls: admin.Month{Limit: 10_000, Used: 8_000, Left: 2_000, Ends: ends},
				Events: admin.Month{Limit: -1, Used: 42, Left: -1, Ends: ends}, Paused: time.Minute, Minute: map[string]int64{"login": 3},
			}}
		},
		Streams: func() []admin.StreamInfo {
			return []admin.StreamInfo{{Corp: corp, Failures: 3, Code: "KD-111"}}
		},
		Days: func(context.Context) ([]admin.QuotaDay, error) { return quotaDays(), nil },
		Now:  func() time.Time { return time.Date(2026, 3, 10, 16, 0, 0, 0, time.UTC) },
	}
}

// quotaDays are the last days of months before, and some of this one: nothing
// until the fifth, half of it on that day.
func quotaDays() []admin.QuotaDay {
	day := func(at string, used int64) admin.QuotaDay {
		return admin.QuotaDay{Corp: corp, Kind: "calls", Day: at, Used: used, Limit: 10_000}
	}
	return []admin.QuotaDay{
		day("2025-01-31", 1), day("2025-12-30", 3_000), day("2025-12-31", 3_100), day("2026-02-14", 5_000), day("2026-02-28", 9_000), day("2026-03-04", 0), day("2026-03-05", 5_000),
		{Corp: "another", Kind: "calls", Day: "2026-03-05", Used: 9_999, Limit: 10_000},
		{Corp: corp, Kind: "calls", Day: "sometime", Used: 1, Limit: 1},
	}
}

// The burn-down goes day by day, beside the month before, and what earlier
// months used stands under it; somebody else's days are not drawn.
func TestQuotaHistory(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	page := b.get("/admin/quota")
	page.has(t, http.StatusOK, `points="0,0 38.7,0.0 48.4,45.0 96.8,72.0"`, `class="burn before" points="0,0 150.0,45.0 300.0,81.0"`,
		"2025-01 · Used 1<", "2025-12 · Used 3100", "2026-02 · Used 9000", "Used in earlier months")
	if strings.Contains(page.body, "9999") || strings.Contains(page.body, "2026-03 ·") {
		t.Error("another's days, or this month, are drawn among the earlier ones")
	}
	var state admin.QuotaState
	decode(t, b.get("/admin/api/v1/quota"), &state)
	if len(state.Days) != len(quotaDays()) {
		t.Errorf("%d days", len(state.Days))
	}
}

// F15: what is left of the month is drawn with where the pace leads: four
// fifths in ten days are all used up two and a half days later. Pauses that
// DingTalk asked for and a stream that is not open are said plainly.
func TestQuotaBurnsDown(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	page := b.get("/admin/quota")
	page.has(t, http.StatusOK, "2000", "/ 10000", "Used up on 2026-03-13 12:00:00", `class="burn later bad"`, "No limit", "1m0s", "not open", "KD-111")
	if strings.Count(page.body, `class="burn later`) != 1 {
		t.Error("a limit that is none is drawn")
	}
	b.do(http.MethodGet, "/admin/quota/live", nil, "HX-Request", "true").has(t, http.StatusOK, `id="live"`)
	var state admin.QuotaState
	decode(t, b.get("/admin/api/v1/quota"), &state)
	if len(state.Quotas) != 1 || state.Quotas[0].Calls.Left != 2_000 || len(state.Streams) != 1 {
		t.Errorf("%+v", state)
	}
}
