package hr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Drop is a folder that HR puts files into. A file that was accepted moves to
// done/, one that was refused to refused/ with its reasons beside it; one that
// could not be taken for a reason of ours stays.
//
// Whoever may write there may put links there too, so nothing is opened, moved
// or written by a name that leads out of the folder.
type Drop struct {
	Dir  string
	Desk *Desk
	Now  func() time.Time
}

// Where files go.
const (
	doneFolder    = "done"
	refusedFolder = "refused"
)

// settled is how long a file must not have changed before it is read: whoever
// writes in place is given time, whoever renames into place waits a moment.
const settled = 5 * time.Second

// Take takes every file that is there, oldest name first, and gives how many
// were accepted and refused.
func (d *Drop) Take(ctx context.Context) (accepted, refused int, err error) {
	inside, err := d.open()
	if err != nil {
		return 0, 0, fmt.Errorf("hr: the drop folder: %w", err)
	}
	defer func() { _ = inside.Close() }() // it was only read
	names, err := d.files(inside)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		err := d.takeOne(ctx, inside, name)
		switch {
		case err == nil:
			accepted++
		case errors.Is(err, ErrBatch):
			refused++
			if err := d.refuse(inside, name, err); err != nil {
				return accepted, refused, err
			}
		default:
			return accepted, refused, err
		}
	}
	return accepted, refused, nil
}

// open makes the folders that are missing, and gives the one to stay in.
func (d *Drop) open() (*os.Root, error) {
	if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, err
	}
	inside, err := os.OpenRoot(d.Dir)
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{doneFolder, refusedFolder} {
		if err := inside.MkdirAll(folder, 0o700); err != nil {
			return nil, errors.Join(err, inside.Close())
		}
	}
	return inside, nil
}

// files are the names of the CSV files that nobody is writing any more.
func (d *Drop) files(inside *os.Root) ([]string, error) {
	entries, err := fs.ReadDir(inside.FS(), ".")
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

func (d *Drop) takeOne(ctx context.Context, inside *os.Root, name string) error {
	file, err := inside.Open(name)
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
	return d.move(inside, name, doneFolder)
}

// refuse puts a file away with its reasons.
func (d *Drop) refuse(inside *os.Root, name string, reason error) error {
	if err := d.move(inside, name, refusedFolder); err != nil {
		return err
	}
	path := filepath.Join(refusedFolder, name+".txt")
	err := inside.Remove(path) // a file of our own is written, never through what lies there
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = writeNew(inside, path, reason.Error()+"\n")
	}
	if err != nil {
		return fmt.Errorf("hr: %w", err)
	}
	return nil
}

func writeNew(inside *os.Root, path, text string) error {
	file, err := inside.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func (d *Drop) move(inside *os.Root, name, folder string) error {
	stamped := d.Now().In(china).Format("20060102-150405.000 ") + name
	if folder == refusedFolder {
		stamped = name // beside its reasons
	}
	if err := inside.Rename(name, filepath.Join(folder, stamped)); err != nil {
		return fmt.Errorf("hr: %w", err)
	}
	return nil
}
