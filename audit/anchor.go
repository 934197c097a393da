package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Anchor is a place off this host that keeps checkpoint lines. Keep returns when
// the place has taken the line; a line may come twice.
type Anchor interface {
	Keep(ctx context.Context, line []byte) error
}

// anchor brings checkpoints to one place. It has a goroutine of its own, because
// a slow or hanging remote must not hold up appends; when the remote is slower
// than checkpoints come, the newest wins, since it covers everything that an
// older one covers.
type anchor struct {
	place  Anchor
	logger *slog.Logger
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	pending []byte // the newest line that is not yet in the file
	err     error  // of the last try
}

// anchorPatience bounds one try at a place that hangs.
const anchorPatience = 10 * time.Second

func startAnchor(ctx context.Context, place Anchor, logger *slog.Logger) *anchor {
	a := &anchor{place: place, logger: logger, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run(ctx)
	return a
}

func (a *anchor) run(ctx context.Context) {
	defer close(a.done)
	for range a.wake {
		a.flush(ctx)
	}
	a.flush(ctx)
}

// put leaves a line to be written, or with nil asks for another try.
func (a *anchor) put(line []byte) {
	a.mu.Lock()
	if line != nil {
		a.pending = line
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // already woken
	}
}

// close writes what is left and waits for it.
func (a *anchor) close() error {
	close(a.wake)
	<-a.done
	return a.lastErr()
}

func (a *anchor) lastErr() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *anchor) flush(ctx context.Context) {
	a.mu.Lock()
	line := a.pending
	a.mu.Unlock()
	if line == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, anchorPatience)
	defer cancel()
	err := a.place.Keep(ctx, line)
	if err != nil {
		a.logger.Error("audit: checkpoint not anchored, will be tried again", "err", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
	if err == nil && string(a.pending) == string(line) {
		a.pending = nil
	}
}

// fileAnchor appends to a file, which should lie on another machine's disk. Only
// one goroutine uses it.
type fileAnchor struct {
	path    string
	checked bool // the file's end was looked at since the last failure
}

// Keep opens the file each time: a remote that went away and came back, or a
// rotated file, needs no restart.
func (a *fileAnchor) Keep(_ context.Context, line []byte) error {
	out := make([]byte, 0, len(line)+2)
	if !a.checked && !endsWhole(a.path) {
		out = append(out, '\n') // a crash left half a line: begin a new one
	}
	out = append(append(out, line...), '\n')
	a.checked = false
	f, err := os.OpenFile(a.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("audit: anchor: %w", err)
	}
	_, err = f.Write(out)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("audit: anchor: %w", err)
	}
	a.checked = true
	return nil
}

// endsWhole reports whether the file is missing, empty or ends with a newline.
// One that cannot be read counts as torn; an empty line harms nobody.
func endsWhole(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err == nil
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return err == nil && last[0] == '\n'
}

// anchors are all the places; each has its own pace.
type anchors []*anchor

func startAnchors(ctx context.Context, c Config) anchors {
	var all anchors
	if c.AnchorFile != "" {
		all = append(all, startAnchor(ctx, &fileAnchor{path: c.AnchorFile}, c.Logger))
	}
	for _, place := range c.Anchors {
		all = append(all, startAnchor(ctx, place, c.Logger))
	}
	return all
}

func (all anchors) put(line []byte) {
	for _, a := range all {
		a.put(line)
	}
}

func (all anchors) lastErr() error {
	var errs []error
	for _, a := range all {
		errs = append(errs, a.lastErr())
	}
	return errors.Join(errs...)
}

func (all anchors) close() error {
	var errs []error
	for _, a := range all {
		errs = append(errs, a.close())
	}
	return errors.Join(errs...)
}
