package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
)

// Parcel is a run of one chain on its way to the other replicas, so that each
// of them holds every record and answers alone.
type Parcel struct {
	Replica    string   // whose chain
	Lines      [][]byte // records as AppendLine writes them, oldest first
	First      uint64   // Seq of the first line
	Last       uint64   // Seq of the last line
	Checkpoint []byte   // the chain's newest signed checkpoint, if there is one
	Trim       []byte   // the signed statement of what the chain begins after, if retention removed something
}

// ErrGap is a parcel that does not join the end of what is held of its chain.
var ErrGap = errors.New("audit: records in between are missing")

// errForged is a parcel that our key did not make, or a chain that forked.
var errForged = errors.New("audit: the records of another replica do not verify")

// parcelBytes bounds a parcel's lines, so that it fits a value of the store.
const parcelBytes = 384 << 10

// Pack gives the records of this gateway's own chain that follow Seq after, at
// most a value's worth. A parcel without lines is the end.
func (l *Log) Pack(ctx context.Context, after uint64) (Parcel, error) {
	p := Parcel{Replica: l.config.Replica}
	if err := l.packLines(ctx, &p, after); err != nil {
		return p, fmt.Errorf("audit: pack: %w", err)
	}
	var err error
	if p.Checkpoint, err = signedOf(ctx, l.db, "checkpoint", p.Replica); err != nil {
		return p, err
	}
	p.Trim, err = signedOf(ctx, l.db, "trim", p.Replica)
	return p, err
}

// packLines takes the records as they are kept: whoever unpacks them looks at
// each, and a click should not pay for taking its records apart once more.
func (l *Log) packLines(ctx context.Context, p *Parcel, after uint64) error {
	rows, err := l.db.QueryContext(ctx,
		"SELECT seq, body, hash, mac FROM record WHERE replica = ? AND seq > ? ORDER BY seq LIMIT ?", p.Replica, after, maxLimit)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err below tells what went wrong
	for size := 0; rows.Next(); {
		var seq uint64
		var body, hash, mac sql.RawBytes
		if err := rows.Scan(&seq, &body, &hash, &mac); err != nil {
			return err
		}
		line := appendLine(nil, body, hash, mac)
		if size += len(line); size > parcelBytes && len(p.Lines) > 0 {
			return nil
		}
		if len(p.Lines) == 0 {
			p.First = seq
		}
		p.Lines, p.Last = append(p.Lines, line), seq
	}
	return rows.Err()
}

// signedOf is the signed line of a replica in the table checkpoint or trim, nil
// when there is none.
func signedOf(ctx context.Context, db rowQuerier, table, replica string) ([]byte, error) {
	var line string
	err := db.QueryRowContext(ctx, "SELECT line FROM "+table+" WHERE replica = ?", replica).Scan(&line)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: read the %s: %w", table, err)
	}
	return []byte(line), nil
}

// Held is the Seq of the newest record that is held of a replica's chain, 0
// when nothing is.
func (l *Log) Held(ctx context.Context, replica string) (uint64, error) {
	tip, err := tipOf(ctx, l.write, replica)
	return tip.seq, err
}

// Unpack takes another replica's parcel into this file, record by record under
// the same checks that Verify makes: form, hash, MAC, and that each follows the
// one before. Records that are held already are passed over. ErrGap asks for the
// records from Held on; any other error that is not about this file means that
// the parcel is not by a holder of our key, and nothing of it was kept.
func (l *Log) Unpack(ctx context.Context, p Parcel) error {
	if p.Replica == l.config.Replica || !isReplicaName(p.Replica) {
		return fmt.Errorf("%w: chain %q", errForged, p.Replica)
	}
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("audit: unpack: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	tip, err := tipOf(ctx, tx, p.Replica)
	if err != nil {
		return err
	}
	if tip.seq == 0 {
		if tip, err = l.begin(ctx, tx, p); err != nil {
			return err
		}
	}
	for _, line := range p.Lines {
		if tip, err = l.join(ctx, tx, p.Replica, tip, line); err != nil {
			return err
		}
	}
	if err := l.keepCheckpoint(ctx, tx, p, tip); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("audit: unpack: %w", err)
	}
	return nil
}

// begin says where a chain that is new here starts: at its first record, or
// after what the signed trim statement names.
func (l *Log) begin(ctx context.Context, tx *sql.Tx, p Parcel) (link, error) {
	if p.First <= 1 || len(p.Trim) == 0 {
		return link{}, nil
	}
	trim, err := parseLine(p.Trim)
	if err != nil || trim.Kind != kindTrim || trim.Replica != p.Replica || !trim.verified(l.keys.public()) {
		return link{}, fmt.Errorf("%w: the trim statement of %s", errForged, p.Replica)
	}
	if p.First != trim.Seq+1 {
		return link{}, nil // join tells what is missing
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO trim (replica, line) VALUES (?, ?) ON CONFLICT (replica) DO UPDATE SET line = excluded.line",
		p.Replica, string(p.Trim))
	if err != nil {
		return link{}, fmt.Errorf("audit: unpack: %w", err)
	}
	return link{trim.Seq, trim.Hash}, nil
}

func (l *Log) join(ctx context.Context, tx *sql.Tx, replica string, tip link, line []byte) (link, error) {
	row, err := l.splitLine(line)
	if err != nil || string(row.head.replica) != replica {
		return tip, fmt.Errorf("%w: %s after record %d", errForged, replica, tip.seq)
	}
	switch {
	case row.head.seq <= tip.seq:
		return tip, nil
	case row.head.seq > tip.seq+1:
		return tip, fmt.Errorf("%w: %s has %d, comes %d", ErrGap, replica, tip.seq, row.head.seq)
	case row.head.prev != tip.hash:
		return tip, fmt.Errorf("%w: record %d of %s does not follow the one that is held", errForged, row.head.seq, replica)
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO record (body, hash, mac) VALUES (?, ?, ?)", string(row.body), row.hash[:], row.mac); err != nil {
		return tip, fmt.Errorf("audit: unpack: %w", err)
	}
	return link{row.head.seq, row.hash}, nil
}

// exported is a record's line taken apart and verified by itself.
type exported struct {
	head bodyHead
	body []byte
	hash Digest
	mac  []byte
}

// splitLine undoes AppendLine, strictly: the line has one form only.
func (l *Log) splitLine(line []byte) (row exported, err error) {
	const digits = 2 * sha256.Size
	const tail = len(`,"hash":"`) + digits + len(`","mac":"`) + digits + len(`"}`)
	at := len(line) - tail
	if at < 0 {
		return row, errNotRecord
	}
	sums := line[at:]
	hash, mac := sums[len(`,"hash":"`):][:digits], sums[len(`,"hash":"`)+digits+len(`","mac":"`):][:digits]
	row.body = append(bytes.Clone(line[:at]), '}')
	row.mac = make([]byte, sha256.Size)
	_, hashErr := hex.Decode(row.hash[:], hash)
	_, macErr := hex.Decode(row.mac, mac)
	var ok bool
	if row.head, ok = parseHead(row.body); !ok || hashErr != nil || macErr != nil {
		return row, errNotRecord
	}
	if record, err := decodeRecord(0, row.body, row.hash[:], row.mac); err != nil || !bytes.Equal(record.AppendLine(nil), line) {
		return row, errNotRecord
	}
	own := newMAC(l.keys.mac)
	own.Write(row.hash[:])
	if row.hash != sha256.Sum256(row.body) || !hmac.Equal(own.Sum(nil), row.mac) {
		return row, errForged
	}
	return row, nil
}

// keepCheckpoint keeps the chain's newest checkpoint when what it names is held.
func (l *Log) keepCheckpoint(ctx context.Context, tx *sql.Tx, p Parcel, tip link) error {
	if len(p.Checkpoint) == 0 {
		return nil
	}
	line, err := parseLine(p.Checkpoint)
	if err != nil || line.Kind != kindCheckpoint || line.Replica != p.Replica || !line.verified(l.keys.public()) {
		return fmt.Errorf("%w: the checkpoint of %s", errForged, p.Replica)
	}
	if line.Seq > tip.seq {
		return nil // its records follow
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO checkpoint (replica, line) VALUES (?, ?) ON CONFLICT (replica) DO UPDATE SET line = excluded.line",
		p.Replica, string(p.Checkpoint))
	if err != nil {
		return fmt.Errorf("audit: unpack: %w", err)
	}
	return nil
}

type rowQuerier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// tipOf is the newest record that the file holds of a chain.
func tipOf(ctx context.Context, db rowQuerier, replica string) (link, error) {
	var seq uint64
	var hash []byte
	err := db.QueryRowContext(ctx, "SELECT seq, hash FROM record WHERE replica = ? ORDER BY seq DESC LIMIT 1", replica).Scan(&seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return link{}, nil
	}
	if err != nil {
		return link{}, fmt.Errorf("audit: read the end of chain %s: %w", replica, err)
	}
	tip := link{seq: seq}
	if !fill(&tip.hash, hash) {
		return link{}, errNotRecord
	}
	return tip, nil
}
