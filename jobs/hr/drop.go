package hr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Drop is a folder that HR puts files into. A file that was accepted moves to
// done/, one that was refused to refused/ with its reasons beside it; one that
// could not be taken for a reason of ours stays.
type Drop struct {
	Dir  string
	Desk *Desk
	Now  func() time.Time
}

// settled is how long a file must not have changed before it is read: whoever
// writes in place is given time, whoever renames into place waits a moment.
const settled = 5 * time.Second

// Take takes every file that is there, oldest name first, and gives how many
// were accepted and refused.
func (d *Drop) Take(ctx context.Context) (accepted, refused int, err error) {
	for _, dir := range []string{d.Dir, filepath.Join(d.Dir, "done"), filepath.Join(d.Dir, "refused")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return 0, 0, fmt.Errorf("hr: the drop folder: %w", err)
		}
	}
	names, err := d.files()
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		err := d.takeOne(ctx, name)
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, ErrBatch):
			refused++
			if err := d.refuse(name, err); err != nil {
				return accepted, refused, err
			}
		default:
			return accepted, refused, err
		}
	}
	return accepted, refused, nil
}

// files are the names of the CSV files that nobody is writing any more.
func (d *Drop) files() ([]string, error) {
	entries, err := os.ReadDir(d.Dir)
	if err != nil {
		return nil, fmt.Errorf("hr: the drop folder: %w", err)
	}
	var names []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.EqualFold(filepath.Ext(entry.Name()), ".csv") {
			continue
		}
		if d.Now().Sub(info.ModTime()) >= settled {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

func (d *Drop) takeOne(ctx context.Context, name string) error {
	file, err := os.Open(filepath.Join(d.Dir, name))
	if err != nil {
		return fmt.Errorf("hr: %w", err)
	}
	list, err := ParseCSV(file)
	err = errors.Join(err, file.Close())
	if err != nil {
		return err
	}
	if err := d.Desk.Accept(ctx, Origin{Name: "hr:" + name}, list); err != nil {
		return err
	}
	return d.move(name, "done")
}

// refuse puts a file away with its reasons.
func (d *Drop) refuse(name string, reason error) error {
	if err := d.move(name, "refused"); err != nil {
		return err
	}
	path := filepath.Join(d.Dir, "refused", name+".txt")
	if err := os.WriteFile(path, []byte(reason.Error()+"\n"), 0o600); err != nil {
		return fmt.Errorf("hr: %w", err)
	}
	return nil
}

func (d *Drop) move(name, folder string) error {
	stamped := d.Now().In(china).Format("20060102-150405.000 ") + name
	if folder == "refused" {
		stamped = name // beside its reasons
	}
	if err := os.Rename(filepath.Join(d.Dir, name), filepath.Join(d.Dir, folder, stamped)); err != nil {
		return fmt.Errorf("hr: %w", err)
	}
	return nil
}
