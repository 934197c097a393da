package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
)

// anchor appends checkpoints to a file that should live off this host. It has a
// goroutine of its own, because a slow or hanging remote must not hold up
// appends; when the remote is slower than checkpoints come, the newest wins,
// since it covers everything that an older one covers.
type anchor struct {
	path   string
	logger *slog.Logger
	wake   chan struct{}
	done   chan struct{}

	mu      sync.Mutex
	pending []byte // the newest line that is not yet in the file
	err     error  // of the last try
	checked bool   // the file's end was looked at since the last failure
}

func startAnchor(path string, logger *slog.Logger) *anchor {
	a := &anchor{path: path, logger: logger, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	return a
}

func (a *anchor) run() {
	defer close(a.done)
	for range a.wake {
		a.flush()
	}
	a.flush()
}

// put leaves a line to be written, or with nil asks for another try.
func (a *anchor) put(line []byte) {
	if a.path == "" {
		return
	}
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

func (a *anchor) flush() {
	a.mu.Lock()
	line := a.pending
	a.mu.Unlock()
	if line == nil {
		return
	}
	err := a.write(line)
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

// write opens the file each time: a remote that went away and came back, or a
// rotated file, needs no restart.
func (a *anchor) write(line []byte) error {
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
