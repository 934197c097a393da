package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Save has fill write an archive and puts it under path: mode 0600, whole and on
// the disk, or not at all. check then sees it as it lies there, before it gets
// its name. A file that is no archive is never replaced.
func Save(path string, fill func(io.Writer) error, check func(io.Reader) error) (err error) {
	if err := replaceable(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // 0600, under a name nobody else has
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreGone(os.Remove(file.Name())))
		}
	}()
	err = fill(file)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		if _, err = file.Seek(0, io.SeekStart); err == nil {
			err = check(file)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return syncDir(dir)
}

// replaceable refuses to write over what is no archive of ours.
func replaceable(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	defer file.Close()
	start := make([]byte, len(magic))
	if _, err := io.ReadFull(file, start); err != nil || string(start) != magic {
		return fmt.Errorf("archive: %s is there and is no backup; it is left as it is", path)
	}
	return nil
}

// syncDir makes the new name durable; Windows does that by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
