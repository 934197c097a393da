package kingdee

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// alarm tells the operator what only an administrator can repair: once when it
// begins, once when it has healed, however many people click meanwhile (R70).
type alarm struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	open map[complaint]*state
}

type complaint struct {
	symptom symptom
	where   string
}

type state struct {
	since time.Time
	said  bool
}

func newAlarm(log *slog.Logger, now func() time.Time) *alarm {
	return &alarm{log: log, now: now, open: map[complaint]*state{}}
}

// raise notes a fault and says it once its patience is over.
func (a *alarm) raise(f *Fault) {
	d := f.decision()
	if !d.operator {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := complaint{f.symptom, f.Operation}
	s := a.open[key]
	if s == nil {
		s = &state{since: a.now()}
		a.open[key] = s
	}
	if s.said || a.now().Sub(s.since) < d.patience {
		return
	}
	s.said = true
	a.log.LogAttrs(context.Background(), slog.LevelError, "kingdee: an administrator must act",
		slog.String("fault", f.Name), slog.Int("row", f.Row), slog.String("operation", f.Operation),
		slog.String("kingdee_says", f.Text), slog.String("advice", f.Advice))
}

// clear forgets what was wrong with where, now that it works.
func (a *alarm) clear(where string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, s := range a.open {
		if key.where != where || key.symptom == sessionKicked {
			continue
		}
		delete(a.open, key)
		if s.said {
			a.log.LogAttrs(context.Background(), slog.LevelInfo, "kingdee: works again",
				slog.String("fault", decisions[key.symptom].name), slog.String("operation", where))
		}
	}
}
