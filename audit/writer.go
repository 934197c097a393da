package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"slices"
	"time"
)

// writerState is the end of the chain as the writer knows it.
type writerState struct {
	tip       link   // the last record known to be on the disk
	tried     link   // where the tip is if a commit that failed was in truth made
	doubt     bool   // the last commit failed: look before writing on
	signed    uint64 // Seq of the last checkpoint
	fresh     bool   // nothing was signed since the log was opened: the first commit is
	mac       hash.Hash
	text, sum []byte // scratch
}

// link is one record's place in a chain.
type link struct {
	seq  uint64
	hash Digest
}

// run is the one goroutine that writes. While it commits one batch, the next
// one gathers in the queue; nobody waits for a batch to fill.
func (l *Log) run(ctx context.Context) {
	defer close(l.stopped)
	ticker := time.NewTicker(l.config.CheckpointEvery)
	defer ticker.Stop()
	for {
		select {
		case p := <-l.queue:
			l.commit(ctx, l.gather(p))
		case done := <-l.probes:
			done <- l.probe(ctx)
		case <-ticker.C:
			l.tellRest(ctx)
			l.checkpoint(ctx)
			l.anchor.put(nil)
		case <-l.closing:
			l.drain(ctx)
			return
		}
	}
}

func (l *Log) drain(ctx context.Context) {
	for {
		select {
		case p := <-l.queue:
			l.commit(ctx, l.gather(p))
		default:
			l.tellRest(ctx)
			l.checkpoint(ctx)
			return
		}
	}
}

// tellRest records what floods have left out and no later failure has told.
func (l *Log) tellRest(ctx context.Context) {
	for events := range slices.Chunk(l.damper.Rest(), maxBatch) {
		batch := make([]*pending, len(events))
		for i, e := range events {
			batch[i] = &pending{event: encodeEvent(e), done: make(chan error, 1)}
		}
		l.commit(ctx, batch)
		for i, p := range batch {
			if <-p.done != nil {
				l.damper.GiveBack(events[i])
			}
		}
	}
}

// gather takes what waits already, up to one commit's worth. It lets whoever can
// run come first: on one processor the first caller would otherwise have a
// commit to itself, and each of the others after it as well.
func (l *Log) gather(first *pending) []*pending {
	runtime.Gosched()
	batch := []*pending{first}
	for len(batch) < maxBatch {
		select {
		case p := <-l.queue:
			batch = append(batch, p)
		default:
			return batch
		}
	}
	return batch
}

// commit writes a batch in one transaction and tells each caller.
func (l *Log) commit(ctx context.Context, batch []*pending) {
	line, err := l.writeBatch(ctx, batch)
	if err != nil {
		l.writer.doubt = true
		l.config.Logger.Error("audit: records not written, their actions are refused", "records", len(batch), "err", err)
		err = down(err)
	}
	if err == nil {
		l.config.Written(len(batch))
	}
	for _, p := range batch {
		p.done <- err
	}
	if line != nil {
		l.anchor.put(line)
	}
}

// writeBatch gives the signed checkpoint when one was due.
func (l *Log) writeBatch(ctx context.Context, batch []*pending) ([]byte, error) {
	w := &l.writer
	if err := l.resolveDoubt(ctx); err != nil {
		return nil, err
	}
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	tip, err := l.insert(ctx, tx, batch)
	if err != nil {
		return nil, err
	}
	var line []byte
	if w.fresh || tip.seq-w.signed >= checkpointRecords {
		if line, err = l.storeCheckpoint(ctx, tx, tip); err != nil {
			return nil, err
		}
	}
	w.tried = tip
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	w.tip = tip
	if line != nil {
		w.signed, w.fresh = tip.seq, false
	}
	return line, nil
}

func (l *Log) insert(ctx context.Context, tx *sql.Tx, batch []*pending) (link, error) {
	w, statement := &l.writer, tx.StmtContext(ctx, l.insertion)
	tip, at := w.tip, l.config.Now()
	for _, p := range batch {
		w.text = appendHead(w.text[:0], head{l.config.Replica, tip.seq + 1, tip.hash, at})
		w.text = append(w.text, p.event...)
		tip = link{tip.seq + 1, sha256.Sum256(w.text)}
		w.mac.Reset()
		w.mac.Write(tip.hash[:])
		w.sum = w.mac.Sum(w.sum[:0])
		if _, err := statement.ExecContext(ctx, string(w.text), tip.hash[:], w.sum); err != nil {
			return link{}, fmt.Errorf("insert: %w", err)
		}
	}
	return tip, nil
}

// resolveDoubt finds out what became of a commit that failed. Its records may
// be there all the same: then the chain goes on after them. Anything else at
// the chain's end was not written by us, and nothing is written on top of it.
func (l *Log) resolveDoubt(ctx context.Context) error {
	w := &l.writer
	if !w.doubt {
		return nil
	}
	stored, err := tipOf(ctx, l.write, l.config.Replica)
	if err != nil {
		return err
	}
	if stored != w.tip && stored != w.tried {
		return errors.New("the chain's end is not what was written: run `kdgate audit verify`")
	}
	w.tip, w.doubt = stored, false
	return nil
}

// checkpoint signs the tip when records came since the last one.
func (l *Log) checkpoint(ctx context.Context) {
	w := &l.writer
	if w.doubt || w.tip.seq == w.signed {
		return
	}
	line, err := l.storeCheckpoint(ctx, l.write, w.tip)
	if err != nil {
		l.config.Logger.Error("audit: checkpoint not stored, will be tried again", "err", err)
		return
	}
	w.signed = w.tip.seq
	l.anchor.put(line)
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// storeCheckpoint signs tip and keeps the line as the newest one of this replica.
func (l *Log) storeCheckpoint(ctx context.Context, db execer, tip link) ([]byte, error) {
	line := signedLine{
		Kind: kindCheckpoint, Replica: l.config.Replica,
		Seq: tip.seq, Hash: tip.hash, At: l.config.Now(),
	}.sign(l.keys.sign)
	_, err := db.ExecContext(ctx,
		"INSERT INTO checkpoint (replica, line) VALUES (?, ?) ON CONFLICT (replica) DO UPDATE SET line = excluded.line",
		l.config.Replica, string(line))
	if err != nil {
		return nil, fmt.Errorf("store checkpoint: %w", err)
	}
	return line, nil
}

func newMAC(key []byte) hash.Hash { return hmac.New(sha256.New, key) }
