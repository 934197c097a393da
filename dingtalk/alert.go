package dingtalk

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// alertAgain is how long the same alert stays silent.
const alertAgain = time.Hour

// alerts says what an administrator must do: once, not for every request.
type alerts struct {
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	said    map[string]time.Time
	refused int // OAuth codes refused in a row
}

// refusedInARow is when refused codes look like more than people's accidents.
const refusedInARow = 10

func newAlerts(now func() time.Time, logger *slog.Logger) *alerts {
	return &alerts{now: now, logger: logger, said: map[string]time.Time{}}
}

// raise logs the advice of a failed call unless the same was said within the
// hour. The key holds nothing that a stranger could multiply.
func (a *alerts) raise(ctx context.Context, e *CallError) {
	if e.rule.advice == "" || !a.due(e.rule.name+" "+e.Operation) {
		return
	}
	attrs := []slog.Attr{
		slog.String("rule", e.rule.name), slog.String("operation", e.Operation),
		slog.String("reason", e.Reason), slog.String("request_id", e.RequestID),
	}
	for _, hint := range []struct{ name, value string }{
		{"permission", e.Permission}, {"apply_at", e.ApplyLink}, {"our_address", e.OurAddress},
	} {
		if hint.value != "" {
			attrs = append(attrs, slog.String(hint.name, hint.value))
		}
	}
	a.logger.LogAttrs(ctx, slog.LevelError, e.rule.advice, attrs...)
}

func (a *alerts) due(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if last, said := a.said[key]; said && now.Sub(last) < alertAgain {
		return false
	}
	a.said[key] = now
	return true
}

// oauthCode counts refused codes of the browser door. A changed outgoing
// address has shown up as nothing else (reference 0.3, row 18).
func (a *alerts) oauthCode(ctx context.Context, refused bool) {
	a.mu.Lock()
	if !refused {
		a.refused = 0
	} else {
		a.refused++
	}
	many := a.refused >= refusedInARow
	a.mu.Unlock()
	if many && a.due("oauth codes") {
		a.logger.LogAttrs(ctx, slog.LevelError,
			"DingTalk refuses every browser sign-in code: check that our outgoing address is still on the allow-list",
			slog.Int("in_a_row", refusedInARow))
	}
}
