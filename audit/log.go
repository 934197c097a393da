package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/internal/filelock"
)

// Config opens a Log. Dir, Replica and Key are required.
type Config struct {
	Dir             string            // folder of the log, made if missing; one gateway at a time
	Replica         string            // this gateway's name, letters, digits, dot, dash, underscore; names its chain
	Key             []byte            // at least 32 bytes; the keys of MAC and checkpoints are derived from it
	AnchorFile      string            // where checkpoints go, should be off this host; empty: they stay in the log's own file only
	Anchors         []Anchor          // further places for checkpoints
	CheckpointEvery time.Duration     // longest time without one while records come; default a minute
	Written         func(records int) // hears of each commit; nil: nobody does
	Now             func() time.Time
	Logger          *slog.Logger
}

const (
	checkpointRecords = 1000 // a checkpoint after so many records, however short the time
	maxBatch          = 512  // records in one commit
	maxQueue          = 4096 // appends waiting before callers wait themselves
)

// ErrClosed is the private cause of an Append after Close.
var ErrClosed = errors.New("audit: the log is closed")

// Log is the open log of one gateway. It is safe for concurrent use.
type Log struct {
	*Reader
	config    Config
	keys      keys
	lock      *filelock.Lock
	write     *sql.DB
	insertion *sql.Stmt // of one record, on the one connection of write
	anchor    anchors
	damper    *Damper
	queue     chan *pending
	probes    chan chan error // of Ping, unbuffered
	closing   chan struct{}
	stopped   chan struct{}
	once      sync.Once
	err       error // of Close

	writer writerState // touched by the writer's goroutine only, once it runs
}

// pending is one append on its way to the writer.
type pending struct {
	event []byte
	done  chan error // receives once
}

var replicaName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`) // {1,64} would be compiled 64 times over, and kept

func isReplicaName(text string) bool { return len(text) <= 64 && replicaName.MatchString(text) }

// Open opens or lays out the log in c.Dir and takes up this replica's chain. It
// refuses a folder that another gateway holds and a chain whose end does not
// verify, because to write on would bury the damage.
func Open(ctx context.Context, c Config) (*Log, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	keys, err := deriveKeys(c.Key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: make the folder: %w", err)
	}
	lock, err := takeLock(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{
		config: c, keys: keys, lock: lock, damper: NewDamper(c.Now),
		queue: make(chan *pending, maxQueue), probes: make(chan chan error), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	if err := l.openFile(ctx); err != nil {
		return nil, errors.Join(err, l.release())
	}
	ctx = context.WithoutCancel(ctx)
	l.anchor = startAnchors(ctx, c)
	go l.run(ctx)
	return l, nil
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("audit: no folder is configured")
	}
	if !isReplicaName(c.Replica) {
		return c, fmt.Errorf("audit: the replica's name %q is not 1 to 64 letters, digits, dots, dashes or underscores", c.Replica)
	}
	if c.CheckpointEvery <= 0 {
		c.CheckpointEvery = time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Written == nil {
		c.Written = func(int) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("audit: folder: %w", err)
	}
	c.Dir = dir
	return c, nil
}

func takeLock(ctx context.Context, dir string) (*filelock.Lock, error) {
	lock, err := filelock.Take(ctx, filepath.Join(dir, lockName))
	switch {
	case errors.Is(err, filelock.ErrHeld):
		return nil, fmt.Errorf("audit: %s is in use by another gateway", dir)
	case err != nil:
		return nil, fmt.Errorf("audit: lock the folder: %w", err)
	}
	return lock, nil
}

func (l *Log) openFile(ctx context.Context) error {
	path := filepath.Join(l.config.Dir, fileName)
	var err error
	if l.write, err = openWriter(ctx, path); err != nil {
		return err
	}
	if l.insertion, err = l.write.PrepareContext(ctx, "INSERT INTO record (body, hash, mac) VALUES (?, ?, ?)"); err != nil {
		return fmt.Errorf("audit: prepare: %w", err)
	}
	if l.Reader, err = OpenReader(ctx, l.config.Dir); err != nil {
		return err
	}
	return l.takeUpChain(ctx)
}

// release closes what openFile opened.
func (l *Log) release() error {
	var errs []error
	if l.Reader != nil {
		errs = append(errs, l.Reader.Close())
	}
	if l.insertion != nil {
		errs = append(errs, l.insertion.Close())
	}
	if l.write != nil {
		errs = append(errs, l.write.Close())
	}
	return errors.Join(append(errs, l.lock.Release())...)
}

// Append writes e and returns when it is on the disk. Concurrent appends share
// commits. Any error means that the caller must not act: it is Unavailable
// with CodeAuditDown when the record could not be written, and Invalid when
// the event has no action or an unknown outcome. When ctx ends first the
// record may still be written, which is the safe side: it was decided. Of
// events with a Flood some are only counted; a later record tells how many.
func (l *Log) Append(ctx context.Context, e Event) error {
	if e.Action == "" || (e.Outcome != OK && e.Outcome != Refused && e.Outcome != Failed) {
		return identity.Fail(identity.Invalid, identity.CodeInternal, "audit: event with action %q and outcome %q", e.Action, e.Outcome)
	}
	e, write := l.damper.Pass(e)
	if !write {
		return nil
	}
	err := l.enqueue(ctx, encodeEvent(e))
	if err != nil {
		l.damper.GiveBack(e)
	}
	return err
}

// enqueue hands an encoded event to the writer and waits for its word.
func (l *Log) enqueue(ctx context.Context, event []byte) error {
	p := &pending{event: event, done: make(chan error, 1)}
	select {
	case <-l.closing:
		return down(ErrClosed)
	case <-ctx.Done():
		return down(ctx.Err())
	case l.queue <- p:
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return down(ctx.Err())
	case <-l.stopped:
	}
	select { // the writer may have answered as its last act
	case err := <-p.done:
		return err
	default:
		return down(ErrClosed)
	}
}

func down(cause error) error {
	return identity.Fail(identity.Unavailable, identity.CodeAuditDown, "audit: append: %w", cause)
}

// AnchorErr is why the newest checkpoint is not at every anchor, nil when it is.
// Appends go on meanwhile; readiness should show it.
func (l *Log) AnchorErr() error { return l.anchor.lastErr() }

// Close writes what was accepted and what floods left untold, signs and anchors a last checkpoint and
// releases the folder. A second call gives the first one's answer.
func (l *Log) Close() error {
	l.once.Do(func() {
		close(l.closing)
		<-l.stopped
		l.err = errors.Join(l.anchor.close(), l.release())
	})
	return l.err
}
