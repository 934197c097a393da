package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileName is the name of the log's file in its folder.
const FileName = fileName

// Exists reports whether dir holds a log.
func Exists(dir string) (bool, error) {
	_, err := os.Stat(filepath.Join(dir, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// CopyTo writes the log as it stands at one moment into folder dir, which is
// made, while records are written on. The copy is a log that Verify reads; only
// the gaps that trimming left in the file are gone from it.
func (r *Reader) CopyTo(ctx context.Context, dir string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("audit: copy: %w", err)
	}
	path = filepath.Join(dir, fileName)
	// A connection of its own: VACUUM INTO writes a new file, never this one.
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return "", fmt.Errorf("audit: copy: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only(OFF)"); err != nil {
		return "", fmt.Errorf("audit: copy: %w", err)
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", path)
	_, again := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only(ON)")
	if err = errors.Join(err, again); err != nil {
		return "", fmt.Errorf("audit: copy: %w", err)
	}
	return path, os.Chmod(path, 0o600)
}
