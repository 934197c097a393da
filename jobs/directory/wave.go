package directory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"kdgate/jobs"
)

// Wave is the breaker of leavers that arrive one by one: when more of them come
// within Window than a run would admit, our own doors are still closed for each,
// but nothing is forbidden at Kingdee until a person has looked (R46). It counts
// in this process; its threshold is a safeguard, not an account.
type Wave struct {
	Window time.Duration // default 10 min
	Now    func() time.Time

	mu    sync.Mutex
	times map[string][]time.Time // by corp
}

const waveWindow = 10 * time.Minute

// admit counts one leaver, or makes the item wait.
func (w *Wave) admit(ctx context.Context, k *Keeper, corp string) error {
	if w == nil {
		return nil
	}
	window := w.Window
	if window <= 0 {
		window = waveWindow
	}
	active, err := k.active(ctx)
	if err != nil {
		return err
	}
	now := w.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	recent := w.times[corp][:0]
	for _, at := range w.times[corp] {
		if now.Sub(at) < window {
			recent = append(recent, at)
		}
	}
	if w.times == nil {
		w.times = map[string][]time.Time{}
	}
	if !k.cfg.Breaker.admits(len(recent)+1, active) {
		w.times[corp] = recent
		return jobs.Throttled(fmt.Errorf("directory: %d leavers within %s: a person has to look before more are forbidden in Kingdee", len(recent), window),
			now.Add(window))
	}
	w.times[corp] = append(recent, now)
	return nil
}
