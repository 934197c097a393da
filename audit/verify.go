package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// VerifyConfig is what a Verify works with. Only Dir is required; what is not
// given is named in the report as not proven.
type VerifyConfig struct {
	Dir       string            // folder of the log, or of a copy; or the file itself
	Key       []byte            // the gateway's audit key
	PublicKey ed25519.PublicKey // of PublicKey, for a reviewer without Key; ignored when Key is given
	Anchor    string            // file of checkpoints that was kept elsewhere
	Indexes   IndexCheck        // whether to hold the search indexes against the records
	Progress  func(done, total uint64)
	Now       func() time.Time
}

// IndexCheck says when a Verify also checks the file's structure and indexes,
// which takes ten times as long as the chain.
type IndexCheck int

// The choices.
const (
	IndexesOfSmall IndexCheck = iota // of files up to 250,000 records
	IndexesAlways
	IndexesNever
)

// smallFile is how many records take a few seconds with their indexes.
const smallFile = 250_000

// progressEvery is how many records pass between two calls of Progress.
const progressEvery = 1 << 14

// verification is one run.
type verification struct {
	config VerifyConfig
	public ed25519.PublicKey
	*checker
	indexes bool // they are checked in this run
	report  Report
}

// Verify reads a whole log and holds it against itself, the key and the
// anchor. It needs neither the gateway nor the store, writes nothing, and may
// run while a gateway writes. The report is complete also when the error wraps
// ErrFault; any other error means that the log could not be read.
func Verify(ctx context.Context, c VerifyConfig) (Report, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	v := &verification{config: c, public: c.PublicKey, checker: newChecker(nil)}
	if len(c.Key) > 0 {
		keys, err := deriveKeys(c.Key)
		if err != nil {
			return Report{}, err
		}
		v.public, v.mac = keys.public(), newMAC(keys.mac)
	}
	start := c.Now()
	if err := v.run(ctx); err != nil {
		if !damaged(err) {
			return Report{}, err
		}
		v.faults.add(Fault{Kind: FaultFile, Words: "the file is damaged and could not be read to its end: " + err.Error()})
	}
	v.conclude()
	v.report.Took = c.Now().Sub(start)
	return v.report, v.report.Err()
}

// damaged tells a file whose content is wrong, which is a finding, from one
// that could not be opened.
func damaged(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	code := e.Code() & 0xff
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}

// run reads the anchor before the file: a checkpoint that a running gateway
// adds meanwhile would otherwise name a record that the snapshot lacks.
func (v *verification) run(ctx context.Context) error {
	if err := v.readAnchor(ctx); err != nil {
		return err
	}
	db, err := openReadOnly(ctx, v.config.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // read only: nothing can be lost
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("audit: snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // likewise
	if whole, err := v.checkLayout(ctx, tx); err != nil || !whole {
		return err
	}
	if err := v.takeTrims(ctx, tx); err != nil {
		return err
	}
	own, err := v.ownCheckpoints(ctx, tx)
	if err != nil {
		return err
	}
	v.report.Checkpoints += len(own)
	v.swear(own)
	v.settle()
	return v.walk(ctx, db, tx)
}

// walk checks indexes beside the records: the two need one processor each.
func (v *verification) walk(ctx context.Context, db *sql.DB, tx *sql.Tx) error {
	var total uint64
	if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(id) - min(id) + 1, 0) FROM record").Scan(&total); err != nil {
		return fmt.Errorf("audit: count: %w", err)
	}
	v.indexes = v.config.Indexes == IndexesAlways || v.config.Indexes == IndexesOfSmall && total <= smallFile
	group, inner := errgroup.WithContext(ctx)
	var problems []string
	if v.indexes {
		group.Go(func() error {
			problems = integrity(inner, db)
			return nil
		})
	}
	group.Go(func() error { return v.records(inner, tx, total) })
	err := group.Wait()
	for _, problem := range problems {
		v.faults.add(Fault{Kind: FaultFile, Words: "the file's structure: " + problem})
	}
	return err
}

// integrity is SQLite's own check: pages, types, and that every index holds
// exactly what its records say, so that a search leaves nothing out. A check
// that breaks off, as it does on a body that is no JSON, has found something.
func integrity(ctx context.Context, db *sql.DB) []string {
	problems, err := texts(ctx, db, "PRAGMA integrity_check(100)")
	if err != nil && ctx.Err() == nil {
		problems = append(problems, err.Error())
	}
	return slices.DeleteFunc(problems, func(p string) bool { return p == "ok" })
}

func (v *verification) records(ctx context.Context, tx *sql.Tx, total uint64) error {
	rows, err := tx.QueryContext(ctx, "SELECT body, hash, mac FROM record ORDER BY id")
	if err != nil {
		return fmt.Errorf("audit: read: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	var body, sum, mac sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&body, &sum, &mac); err != nil {
			return fmt.Errorf("audit: read: %w", err)
		}
		v.record(body, sum, mac)
		if v.config.Progress != nil && v.count%progressEvery == 0 {
			v.config.Progress(v.count, total)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("audit: read: %w", err)
	}
	if v.config.Progress != nil {
		v.config.Progress(v.count, max(total, v.count))
	}
	v.end()
	return nil
}

// checkLayout refuses a file whose tables or indexes are not the ones we lay
// out, also in a file of an earlier version: a record table that is a view, or an
// index over other words, would lie.
// A file without our tables is a finding, since an emptied log is one, and is not
// read on.
func (v *verification) checkLayout(ctx context.Context, tx *sql.Tx) (whole bool, err error) {
	found, err := texts(ctx, tx, "SELECT coalesce(sql, name) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return false, err
	}
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("audit: read the file's version: %w", err)
	}
	for _, statement := range found {
		if !slices.Contains(layout(version), statement) {
			v.faults.add(Fault{Kind: FaultFile, Words: fmt.Sprintf("the layout has something foreign: %.200q", statement)})
		}
	}
	whole = true
	for _, statement := range layout(version) {
		if !slices.Contains(found, statement) {
			v.faults.add(Fault{Kind: FaultFile, Words: fmt.Sprintf("the layout lacks: %.60q", statement)})
			whole = whole && !strings.HasPrefix(statement, "CREATE TABLE")
		}
	}
	return whole, nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func texts(ctx context.Context, db querier, query string, args ...any) (list []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("audit: read: %w", err)
		}
		list = append(list, text)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	return list, nil
}

// storedLines gives the signed lines of the table checkpoint or trim.
func storedLines(ctx context.Context, db querier, table string) ([][]byte, error) {
	list, err := texts(ctx, db, "SELECT line FROM "+table+" ORDER BY replica")
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for _, text := range list {
		lines = append(lines, []byte(text))
	}
	return lines, nil
}

func (v *verification) ownCheckpoints(ctx context.Context, tx *sql.Tx) ([]signedLine, error) {
	stored, err := storedLines(ctx, tx, "checkpoint")
	if err != nil {
		return nil, err
	}
	return v.accept(stored, kindCheckpoint, "the file's checkpoint"), nil
}

func (v *verification) takeTrims(ctx context.Context, tx *sql.Tx) error {
	stored, err := storedLines(ctx, tx, "trim")
	if err != nil {
		return err
	}
	for _, trim := range v.accept(stored, kindTrim, "the file's trim") {
		ch := v.chainOf(trim.Replica)
		ch.start = link{trim.Seq, trim.Hash}
	}
	return nil
}

// accept keeps the lines of the wanted kind whose signature is good, and
// without a key those that could be.
func (v *verification) accept(raw [][]byte, kind, where string) []signedLine {
	var good []signedLine
	for i, text := range raw {
		line, err := parseLine(text)
		switch {
		case err != nil || line.Kind != kind:
			v.faults.add(Fault{Kind: FaultSignature, Words: fmt.Sprintf("%s %d is not a %s", where, i+1, kind)})
		case v.public != nil && !line.verified(v.public):
			v.faults.add(Fault{FaultSignature, line.Replica, line.Seq, "is named by " + where + " whose signature is not by this key"})
		default:
			good = append(good, line)
		}
	}
	return good
}

// conclude fills the report from what the walk left.
func (v *verification) conclude() {
	r := &v.report
	r.Records, r.FaultCount = v.count, v.faults.total
	r.Faults, r.Chains = append([]Fault{}, v.faults.list...), []ChainReport{} // lists in JSON too, when nothing is in them
	for _, ch := range v.chains {
		c := ChainReport{
			Replica: ch.replica, First: ch.first.seq, Last: ch.tip.seq, FirstAt: ch.firstAt, LastAt: ch.lastAt,
			Head: ch.tip.hash.String(), Sworn: ch.newest.seq, ClockSteps: ch.stepsBack, Trimmed: ch.start.seq,
		}
		if ch.newest.seq > 0 {
			c.SwornAt = ch.newest.stamp()
		}
		r.Chains = append(r.Chains, c)
	}
	slices.SortFunc(r.Chains, func(a, b ChainReport) int { return cmp.Compare(a.Replica, b.Replica) })
	v.sayWhatWasDone()
}
