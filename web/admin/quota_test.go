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
		Now: func() time.Time { return time.Date(2026, 3, 10, 16, 0, 0, 0, time.UTC) },
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
	if strings.Count(page.body, "<svg") != 1 {
		t.Error("a limit that is none is drawn")
	}
	b.do(http.MethodGet, "/admin/quota/live", nil, "HX-Request", "true").has(t, http.StatusOK, `id="live"`)
	var state admin.QuotaState
	decode(t, b.get("/admin/api/v1/quota"), &state)
	if len(state.Quotas) != 1 || state.Quotas[0].Calls.Left != 2_000 || len(state.Streams) != 1 {
		t.Errorf("%+v", state)
	}
}
