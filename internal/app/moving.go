package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"kdgate/audit"
	"kdgate/gateway"
	"kdgate/gateway/proxy"
	"kdgate/identity"
	"kdgate/identity/session"
	"kdgate/internal/config"
	"kdgate/internal/moving"
	"kdgate/jobs/approval/rulebook"
	"kdgate/mapping"
	"kdgate/mapping/consent"
	"kdgate/store"
	"kdgate/store/archive"
	"kdgate/web/admin"
)

const (
	presencePrefix = "replica/"
	presenceLife   = 30 * time.Second
	presenceEvery  = 10 * time.Second
)

// leftOut are the prefixes of what is of the moment: it has no place in a backup
// and is not taken to another store. Each room names its own.
func leftOut() moving.LeftOut {
	return slices.Concat(session.Ephemeral(), gateway.Ephemeral(), proxy.Ephemeral(), admin.Ephemeral(),
		[]string{"link/", "lane/", "audit/", "event/", "lease/", presencePrefix})
}

// ErrGatewayRuns refuses what would pull the store away under a gateway.
var ErrGatewayRuns = errors.New("a gateway runs on this store; stop it first")

// ArchiveKeys are the keys that a backup of this installation may be made under,
// the one in force first.
func ArchiveKeys(cfg *config.Config) ([][]byte, error) {
	if _, err := os.Stat(cfg.SealKeyFile()); err != nil {
		return nil, fmt.Errorf("the seal key is not here: a backup does not hold it, and without it nothing of it can be read; put it back first: %w", err)
	}
	keys, err := cfg.SealKeys()
	if err != nil {
		return nil, err
	}
	return archiveKeys(keys)
}

func archiveKeys(keys [][]byte) ([][]byte, error) {
	list := make([][]byte, 0, len(keys))
	for _, key := range keys {
		secret, err := deriveSecret(key, "kdgate archive")
		if err != nil {
			return nil, err
		}
		list = append(list, []byte(secret.Reveal()))
	}
	return list, nil
}

// VerifyArchive reads all of an archive and gives the key it was made under. The
// reader is at its beginning afterwards.
func VerifyArchive(file io.ReadSeeker, keys [][]byte) (key []byte, header archive.Header, err error) {
	for _, key := range keys {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, header, err
		}
		header, _, err = archive.Verify(file, key)
		if errors.Is(err, archive.ErrOtherKey) {
			continue
		}
		if err != nil {
			return nil, header, err
		}
		_, err = file.Seek(0, io.SeekStart)
		return key, header, err
	}
	return nil, header, fmt.Errorf("%w: put the seal key of that installation into seal.key_file or seal.old_key_files", archive.ErrOtherKey)
}

// Backup writes everything that lasts to w: the store as it is at one moment,
// and the audit log. It is recorded first.
func (c *Core) Backup(ctx context.Context, by mapping.Actor, w io.Writer) error {
	at := c.options.Now().UTC()
	if err := c.bound.Recognise(ctx); err != nil { // what is left of a lost store is no backup
		return err
	}
	if err := c.note(ctx, by, audit.Event{Action: audit.ActionBackup, Outcome: audit.OK}); err != nil {
		return err
	}
	err := c.writeArchive(ctx, at, w)
	if err != nil {
		failed := audit.Event{Action: audit.ActionBackup, Outcome: audit.Failed, Reason: "not complete"}
		_ = c.note(context.WithoutCancel(ctx), by, failed) // the caller is told anyway
	}
	return err
}

func (c *Core) writeArchive(ctx context.Context, at time.Time, w io.Writer) error {
	keys, err := c.rooms.Load().config.SealKeys()
	if err == nil {
		keys, err = archiveKeys(keys)
	}
	if err != nil {
		return err
	}
	cfg := c.options.Config
	out, err := archive.NewWriter(w, keys[0], archive.Header{
		Tenant: cfg.Store.Tenant, Program: c.options.Version, Driver: cfg.Store.Driver, At: at, LeftOut: leftOut(),
	})
	if err != nil {
		return err
	}
	if err := moving.Save(ctx, c.sealed, out, leftOut(), nil); err != nil {
		return err
	}
	if err := c.saveLog(ctx, out); err != nil {
		return err
	}
	if err := c.bound.Recognise(ctx); err != nil { // lost while it was read
		return err
	}
	_, err = out.Close()
	return err
}

// saveLog copies the audit log and its public key into an archive.
func (c *Core) saveLog(ctx context.Context, out *archive.Writer) (err error) {
	dir := c.options.Config.Audit.Dir
	scratch, err := os.MkdirTemp(dir, ".backup-*") // on the log's own disk, in its private folder
	if err != nil {
		return fmt.Errorf("audit: copy: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	copied, err := c.log.CopyTo(ctx, scratch)
	if err != nil {
		return err
	}
	for _, file := range []struct{ name, path string }{
		{audit.FileName, copied}, {auditKeyFile, filepath.Join(dir, auditKeyFile)},
	} {
		if err := saveFile(out, file.name, file.path); err != nil {
			return err
		}
	}
	return nil
}

func saveFile(out *archive.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return out.File(name, file)
}

// Restore puts the content of an archive into the store. A gateway that serves
// does that only for a store that is lost; else nothing may run on it.
func (c *Core) Restore(ctx context.Context, by mapping.Actor, body io.Reader, o moving.Options) (moving.Restored, error) {
	if err := c.vacant(ctx); err != nil {
		return moving.Restored{}, err
	}
	file, err := c.spool(body)
	if err != nil {
		return moving.Restored{}, err
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	keys, err := ArchiveKeys(c.rooms.Load().config)
	if err != nil {
		return moving.Restored{}, err
	}
	key, header, err := VerifyArchive(file, keys)
	if err != nil {
		return moving.Restored{}, err
	}
	if own := c.options.Config.Store.Tenant; header.Tenant != own {
		return moving.Restored{}, identity.Fail(identity.Conflict, "", "the backup is of store.tenant %q, this is %q", header.Tenant, own)
	}
	return c.restore(ctx, by, file, key, header, o)
}

func (c *Core) restore(
	ctx context.Context, by mapping.Actor, file io.Reader, key []byte, header archive.Header, o moving.Options,
) (moving.Restored, error) {
	table, err := mapping.New(mapping.Config{Store: c.sealed, Recorder: c.log, Now: c.options.Now})
	if err != nil {
		return moving.Restored{}, err
	}
	event := audit.Event{Action: audit.ActionRestore, Outcome: audit.OK, Reason: "begun", Detail: map[string]string{
		"backup": header.At.Format(time.RFC3339), "over": strconv.FormatBool(o.Over),
	}}
	if err := c.note(ctx, by, event); err != nil {
		return moving.Restored{}, err
	}
	done, err := moving.Restore{
		Store: c.sealed, Table: table, LeftOut: leftOut(), Options: o, By: by, Now: c.options.Now, Journal: c.journal, Closed: c.closed,
	}.Run(ctx, file, key)
	event.Reason = "done"
	if err != nil {
		event.Outcome, event.Reason = audit.Failed, "not complete: to be run again"
	} else {
		event.Detail["entries"], event.Detail["reapplied"] = strconv.Itoa(done.Entries), strconv.Itoa(done.Rows)
		event.Detail["closed"] = strconv.Itoa(done.Closed)
		err = storeMemory{c.options.Config.Audit.Dir}.Keep(done.StoreID)
	}
	if errors.Is(err, moving.ErrOccupied) {
		event.Reason = "the store is not empty"
		err = identity.Fail(identity.Conflict, "", "%w; --over clears it, with every gateway stopped", err)
	}
	err = errors.Join(err, c.note(context.WithoutCancel(ctx), by, event))
	if err == nil {
		err = c.bound.Recognise(ctx)
	}
	return done, err
}

// vacant reports that nobody works with what is in the store.
func (c *Core) vacant(ctx context.Context) error {
	if c.serving {
		if err := c.bound.Recognise(ctx); !errors.Is(err, store.ErrLost) {
			return errors.Join(identity.Fail(identity.Conflict, "", "%w", ErrGatewayRuns), err)
		}
	}
	return noReplica(ctx, c.sealed)
}

// noReplica reports that no gateway keeps its mark in a shared store.
func noReplica(ctx context.Context, s *store.Sealed) error {
	page, err := s.Scan(ctx, presencePrefix, "", 1)
	if err == nil && len(page) > 0 {
		err = identity.Fail(identity.Conflict, "", "%w (another replica, or one that died in the last %s)", ErrGatewayRuns, presenceLife)
	}
	return err
}

// spool puts what comes over the wire on the disk, because it is read twice.
func (c *Core) spool(body io.Reader) (*os.File, error) {
	file, err := os.CreateTemp(c.options.Config.Audit.Dir, ".restore-*")
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(file, body); err != nil {
		return nil, errors.Join(err, file.Close(), os.Remove(file.Name()))
	}
	return file, nil
}

// journal gives the rows as the audit log left them since a moment.
func (c *Core) journal(ctx context.Context, since time.Time) ([]mapping.Entry, error) {
	j := mapping.NewJournal()
	if err := c.log.Each(ctx, audit.Query{From: since}, j.Take); err != nil {
		return nil, err
	}
	return j.Rows(), nil
}

// closed closes again the consents and rules of approvals that a backup does not
// know to be closed, as the audit log has them since a moment. It works on what is
// not anybody's store yet, so it has rooms of its own.
func (c *Core) closed(ctx context.Context, since time.Time) (changed int, err error) {
	register, err := consent.New(consent.Config{Store: c.sealed, Recorder: c.log, Now: c.options.Now})
	if err != nil {
		return 0, err
	}
	err = c.log.Each(ctx, audit.Query{Action: consent.ActionWithdraw, From: since}, func(r audit.Record) error {
		did, err := register.Reassert(ctx, r)
		if did {
			changed++
		}
		return err
	})
	if err != nil {
		return changed, err
	}
	var records []audit.Record
	for _, action := range rulebook.Actions() {
		err := c.log.Each(ctx, audit.Query{Action: action, From: since}, func(r audit.Record) error {
			records = append(records, r)
			return nil
		})
		if err != nil {
			return changed, err
		}
	}
	slices.SortStableFunc(records, func(a, b audit.Record) int { return a.At.Compare(b.At) })
	book := rulebook.New(rulebook.Config{Store: c.sealed, Recorder: c.log, Now: c.options.Now})
	n, err := book.Reassert(ctx, records)
	return changed + n, err
}

// note records what somebody did with the state as a whole.
func (c *Core) note(ctx context.Context, by mapping.Actor, event audit.Event) error {
	event.Actor, event.Source, event.RequestID, event.Target = by.Name, by.Source, by.RequestID, "store"
	return c.log.Append(ctx, event)
}

// RestoreLog puts the audit log of an archive, verified under key, in place on a
// host that has none. The log of a host that has one is newer than any backup
// and stays.
func RestoreLog(ctx context.Context, dir string, file io.ReadSeeker, key []byte) (restored bool, err error) {
	if there, err := audit.Exists(dir); err != nil || there {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	scratch, err := os.MkdirTemp(dir, ".restore-*")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	names, err := unpackLog(scratch, file, key)
	if err != nil {
		return false, err
	}
	report, err := audit.Verify(ctx, audit.VerifyConfig{Dir: scratch})
	if err != nil {
		return false, fmt.Errorf("the audit log in the backup: %w (%d faults)", err, report.FaultCount)
	}
	for _, name := range names {
		if err := os.Rename(filepath.Join(scratch, name), filepath.Join(dir, name)); err != nil {
			return false, err
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return true, err
}

// unpackLog writes the log's files into a folder; the log itself comes last in
// names, because its being there says that all is.
func unpackLog(dir string, file io.Reader, key []byte) (names []string, err error) {
	var open *os.File
	shut := func() error {
		if open == nil {
			return nil
		}
		last := open
		open = nil
		return errors.Join(last.Sync(), last.Close())
	}
	_, _, err = archive.Read(file, key, archive.Visitor{File: func(name string) (io.Writer, error) {
		if err := shut(); err != nil {
			return nil, err
		}
		if name != audit.FileName && name != auditKeyFile {
			return nil, nil //nolint:nilnil // a file of a newer release goes nowhere
		}
		names = append(names, name)
		var err error
		open, err = os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		return open, err
	}})
	slices.SortFunc(names, func(a, b string) int {
		if a == audit.FileName {
			return 1
		}
		return -1
	})
	return names, errors.Join(err, shut())
}

// keepPresence marks a shared store as in use until ctx ends.
func (s *Server) keepPresence(ctx context.Context) {
	key := presencePrefix + rand.Text()
	ticker := time.NewTicker(presenceEvery)
	defer ticker.Stop()
	for {
		// One that cannot be written is tried again; what else fails then is told elsewhere.
		_ = s.store.Commit(ctx, store.Put(key, []byte(s.options.Replica)).For(presenceLife))
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
			defer cancel()
			_ = s.store.Commit(last, store.Delete(key))
			return
		case <-ticker.C:
		}
	}
}
