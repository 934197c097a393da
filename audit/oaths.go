package audit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// anchorBatch is how many lines of the anchor are in memory at a time.
const anchorBatch = 4096

var errForeignSignature = errors.New("its signature is not by this key")

// readAnchor takes the checkpoints of the anchor, batch by batch: half a year
// of one a minute is a quarter of a million.
func (v *verification) readAnchor(ctx context.Context) error {
	if v.config.Anchor == "" {
		return nil
	}
	f, err := os.Open(v.config.Anchor)
	if err != nil {
		return fmt.Errorf("audit: open the anchor: %w", err)
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	scanner := bufio.NewScanner(f)
	var batch []anchorLine
	for number := 1; scanner.Scan(); number++ {
		if text := bytes.TrimSpace(scanner.Bytes()); len(text) > 0 {
			batch = append(batch, anchorLine{number: number, text: bytes.Clone(text)})
		}
		if len(batch) == anchorBatch {
			if err := v.takeBatch(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("audit: read the anchor: %w", err)
	}
	return v.takeBatch(ctx, batch)
}

// anchorLine is one line of the anchor and what came of it.
type anchorLine struct {
	number int
	text   []byte
	line   signedLine
	err    error
}

// takeBatch checks signatures, the dear part, on all processors.
func (v *verification) takeBatch(ctx context.Context, batch []anchorLine) error {
	group, inner := errgroup.WithContext(ctx)
	size := len(batch)/runtime.GOMAXPROCS(0) + 1
	for start := 0; start < len(batch); start += size {
		group.Go(func() error {
			for i := start; i < min(start+size, len(batch)) && inner.Err() == nil; i++ {
				batch[i].line, batch[i].err = v.readAnchored(batch[i].text)
			}
			return inner.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("audit: read the anchor: %w", err)
	}
	for _, entry := range batch {
		v.sortAnchored(entry)
	}
	return nil
}

func (v *verification) readAnchored(text []byte) (signedLine, error) {
	line, err := parseLine(text)
	switch {
	case err != nil:
		return signedLine{}, err
	case line.Kind != kindCheckpoint:
		return signedLine{}, errBadLine
	case v.public != nil && !line.verified(v.public):
		return signedLine{}, errForeignSignature
	}
	return line, nil
}

// sortAnchored takes half a line, which a crash leaves, for a note: whoever can
// cut a line can remove it whole. Anything else unreadable is a fault.
func (v *verification) sortAnchored(entry anchorLine) {
	switch {
	case entry.err == nil:
		v.report.Checkpoints++
		v.swear([]signedLine{entry.line})
	case errors.Is(entry.err, errTornLine):
		v.report.Notes = append(v.report.Notes, fmt.Sprintf("line %d of the anchor was cut short, as a crash does", entry.number))
	case errors.Is(entry.err, errForeignSignature):
		v.faults.add(Fault{Kind: FaultSignature, Words: fmt.Sprintf("line %d of the anchor: %v", entry.number, entry.err)})
	default:
		v.faults.add(Fault{Kind: FaultAnchor, Words: fmt.Sprintf("line %d of the anchor is not a checkpoint", entry.number)})
	}
}
