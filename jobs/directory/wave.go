package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/jobs"
)

// Wave is the breaker of leavers that arrive one by one: when more of them come
// within Window than a run would admit, our own doors close behind each all the
// same, but KindForbid rests until a person has looked and resumes it, or Hold
// is over (R46). Leavers whom a run has found are that run's breaker's to judge.
// It counts in this process; its threshold is a safeguard, not an account.
type Wave struct {
	Window time.Duration // default 10 min
	Hold   time.Duration // default 24 h
	Now    func() time.Time

	mu    sync.Mutex
	corps map[string]*wave
}

// wave is what one organisation's leavers came to.
type wave struct {
	times []time.Time // of those admitted, within the window
	held  time.Time   // since when the kind rests, zero when it does not
	open  time.Time   // until when a person lets everybody through
}

const (
	waveWindow = 10 * time.Minute
	waveHold   = 24 * time.Hour
	// waveSettle is how long after the stop others that were under way may still
	// ask; whoever asks later was let through by a person.
	waveSettle = 10 * time.Second
)

// admit counts one leaver, or has the kind rest.
func (w *Wave) admit(ctx context.Context, k *Keeper, e errand) error {
	if w == nil || e.Judged || e.Number != "" {
		return nil
	}
	active, err := k.active(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.corps[e.Corp]
	if one == nil {
		one = &wave{}
		if w.corps == nil {
			w.corps = map[string]*wave{}
		}
		w.corps[e.Corp] = one
	}
	window := w.span(w.Window, waveWindow)
	began, err := one.admit(w.Now(), window, w.span(w.Hold, waveHold), func(n int) bool { return k.cfg.Breaker.admits(n, active) })
	if !began {
		return err
	}
	return errors.Join(err, k.queue.PauseKind(ctx, jobs.Actor{Name: audit.System}, jobs.Pause{
		Kind: KindForbid, Until: one.held.Add(w.span(w.Hold, waveHold)), Why: holdWords(len(one.times), window),
	}))
}

func (*Wave) span(set, usual time.Duration) time.Duration {
	if set > 0 {
		return set
	}
	return usual
}

// admit counts one, or refuses it; began says that the hold begins with it.
func (o *wave) admit(now time.Time, window, hold time.Duration, few func(int) bool) (began bool, refused error) {
	if now.Before(o.open) {
		return false, nil
	}
	if !o.held.IsZero() && now.Before(o.held.Add(hold)) {
		if now.Sub(o.held) < waveSettle {
			return false, tooMany(len(o.times), window, now)
		}
		o.held, o.times, o.open = time.Time{}, nil, now.Add(window)
		return false, nil
	}
	recent := o.times[:0]
	for _, at := range o.times {
		if now.Sub(at) < window {
			recent = append(recent, at)
		}
	}
	o.times, o.held = recent, time.Time{}
	if !few(len(recent) + 1) {
		o.held = now
		return true, tooMany(len(recent), window, now)
	}
	o.times = append(o.times, now)
	return false, nil
}

// tooMany puts one leaver off for a moment only: it is the kind that rests, and
// whoever resumes it wants all of them to go on.
func tooMany(n int, window time.Duration, now time.Time) error {
	err := fmt.Errorf("directory: %d leavers within %s: a person has to look before more are forbidden in Kingdee", n, window)
	return jobs.Throttled(jobs.Explain(err, holdWords(n, window)), now.Add(waveSettle))
}

func holdWords(n int, window time.Duration) string {
	return fmt.Sprintf("%s 内已有 %d 人离职;核对后恢复 %s,其余的人才在金蝶中禁用", window, n, KindForbid)
}
