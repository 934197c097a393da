// Package filelock makes one process the owner of a file or a folder.
//
// It owns the lock file and how long a killed owner is waited for. It refuses to
// say what being second means: its callers know what the lock stands for.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gofrs/flock"
)

// A process that was killed holds its lock until the system has taken it apart;
// whoever starts the next one at once waits for that, and no longer.
const (
	patience = time.Second
	retry    = 50 * time.Millisecond
)

// ErrHeld says that another process is the owner.
var ErrHeld = errors.New("filelock: another process holds the lock")

// Lock is held until Release, or until its process ends.
type Lock struct{ file *flock.Flock }

// Take takes the lock at path, making the file for its owner's eyes only. ErrHeld:
// another process has it and goes on; any other error: it could not be asked for.
func Take(ctx context.Context, path string) (*Lock, error) {
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	file := flock.New(path, flock.SetPermissions(0o600))
	held, err := file.TryLockContext(within, retry)
	switch {
	case held:
		return &Lock{file}, nil
	case err == nil || ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return nil, ErrHeld
	default:
		return nil, fmt.Errorf("filelock: %s: %w", path, err)
	}
}

// Release gives the lock back. The file stays, so that nobody locks another one
// under its name.
func (l *Lock) Release() error { return l.file.Unlock() }
