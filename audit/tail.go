package audit

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// tailRecords is how much of the chain's end Open verifies: some milliseconds.
const tailRecords = 1000

// anchorTail is how much of the anchor's end Open reads.
const anchorTail = 64 << 10

// takeUpChain finds the end of this replica's chain and refuses one that does
// not verify or that lacks what a checkpoint has sworn to.
func (l *Log) takeUpChain(ctx context.Context) error {
	l.writer.mac = newMAC(l.keys.mac)
	tip, err := l.verifyTail(ctx)
	if err != nil {
		return fmt.Errorf("audit: the end of the log does not verify, nothing is written on top of it (run `kdgate audit verify %s`): %w", l.config.Dir, err)
	}
	l.writer.tip, l.writer.fresh = tip, true
	sworn, err := l.newestCheckpoints(ctx)
	if err != nil {
		return err
	}
	for _, line := range sworn {
		if err := l.holdAgainst(ctx, line); err != nil {
			return err
		}
		l.writer.signed = max(l.writer.signed, line.Seq)
	}
	return nil
}

func (l *Log) verifyTail(ctx context.Context) (link, error) {
	rows, err := l.write.QueryContext(ctx, `SELECT body, hash, mac FROM
		(SELECT * FROM record WHERE replica = ? ORDER BY seq DESC LIMIT ?) ORDER BY seq`, l.config.Replica, tailRecords)
	if err != nil {
		return link{}, err
	}
	c := newChecker(l.keys.mac)
	c.midway = true
	if err := c.rows(rows); err != nil {
		return link{}, err
	}
	if len(c.faults.list) > 0 {
		return link{}, errors.New(c.faults.list[0].String())
	}
	if chain, ok := c.chains[l.config.Replica]; ok {
		return chain.tip, nil
	}
	return link{}, nil
}

// newestCheckpoints are the last one in our own file and the last one in the
// anchor; one that is not signed by our key is left to Verify.
func (l *Log) newestCheckpoints(ctx context.Context) ([]signedLine, error) {
	var lines []signedLine
	own, err := storedLines(ctx, l.write, "checkpoint")
	if err != nil {
		return nil, err
	}
	text, err := readEnd(l.config.AnchorFile, anchorTail)
	if err != nil {
		l.config.Logger.Warn("audit: the anchor cannot be read back", "err", err)
	}
	for _, raw := range append(own, bytes.Split(text, []byte("\n"))...) {
		line, err := parseLine(raw)
		if err == nil && line.Replica == l.config.Replica && line.Kind == kindCheckpoint && line.verified(l.keys.public()) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// holdAgainst refuses to go on in an older copy of the log: the same numbers
// would be given out twice, and the chain would fork.
func (l *Log) holdAgainst(ctx context.Context, sworn signedLine) error {
	if sworn.Seq > l.writer.tip.seq {
		return fmt.Errorf("audit: a checkpoint of %s names record %d of %s, but the log ends at %d: records are missing (run `kdgate audit verify %s`); after restoring an older copy on purpose, go on under another replica name",
			stamp(sworn.At), sworn.Seq, sworn.Replica, l.writer.tip.seq, l.config.Dir)
	}
	var stored []byte
	err := l.write.QueryRowContext(ctx, "SELECT hash FROM record WHERE replica = ? AND seq = ?", sworn.Replica, sworn.Seq).Scan(&stored)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // trimmed away
	}
	if err != nil {
		return fmt.Errorf("audit: read record %d: %w", sworn.Seq, err)
	}
	if !bytes.Equal(stored, sworn.Hash[:]) {
		return fmt.Errorf("audit: record %d of %s is not the one a checkpoint of %s names: the log was replaced (run `kdgate audit verify %s`)",
			sworn.Seq, sworn.Replica, stamp(sworn.At), l.config.Dir)
	}
	return nil
}

// readEnd gives the last n bytes of a file, from the first whole line on; a
// file that is not there has none.
func readEnd(path string, n int64) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	start := max(size-n, 0)
	text, err := io.ReadAll(io.NewSectionReader(f, start, size-start))
	if err != nil {
		return nil, err
	}
	if start > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, nil
}
