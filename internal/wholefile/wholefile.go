package wholefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Replace writes content under path, over what is there.
func Replace(path string, content []byte) error {
	return write(path, content, os.Rename)
}

// Create writes content under path unless something is there: then the error is
// fs.ErrExist, and of two that create at once one succeeds.
func Create(path string, content []byte) error {
	return write(path, content, func(draft, path string) error {
		err := os.Link(draft, path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return createPlain(path, content) // a disk without links
		}
		return err
	})
}

// createPlain is Create where no second name can be given: a kill in the middle
// may leave less than the whole.
func createPlain(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// write puts content on the disk under a name of its own and then has name give it
// the right one.
func write(path string, content []byte, name func(draft, path string) error) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600, under a name nobody else has
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if gone := os.Remove(file.Name()); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = name(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir makes a new name durable; Windows does that by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}
