package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"

	"kdgate/audit"
	"kdgate/internal/wholefile"
)

// Sink takes records, oldest first. It returns nil only when it has all of them.
type Sink interface {
	Send(ctx context.Context, records []audit.Record) error
}

// Source is what a feed reads: *audit.Log or *audit.Reader.
type Source interface {
	After(ctx context.Context, id uint64) ([]audit.Record, error)
}

// Config makes a Feed. All but Logger are required.
type Config struct {
	Name    string // of the feed, in messages and in the name of its cursor file
	Source  Source
	Replica string // whose records are sent: a gateway's own, the others send theirs
	Sink    Sink
	Dir     string // where the cursor is kept
	Logger  *slog.Logger
}

const (
	lookEvery = 500 * time.Millisecond // how often a feed looks for new records
	firstWait = time.Second            // after the first failure
	longWait  = time.Minute            // at most, between two tries
)

// Feed sends one gateway's records to one sink, in order and none left out.
type Feed struct {
	config Config
	retry  failsafe.Executor[any]

	mu  sync.Mutex
	err error // of the last try
}

// New makes a feed. It begins where its cursor file says, without one at the
// first record.
func New(c Config) *Feed {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	policy := retrypolicy.NewBuilder[any]().WithMaxRetries(-1).WithBackoff(firstWait, longWait).WithJitterFactor(0.2).Build()
	return &Feed{config: c, retry: failsafe.With[any](policy)}
}

// Err is why the newest records are not at the sink, nil when they are.
func (f *Feed) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Run sends until ctx ends, whose error it returns, or its cursor cannot be
// read. A sink that can be closed is closed at the end.
func (f *Feed) Run(ctx context.Context) error {
	if sink, ok := f.config.Sink.(io.Closer); ok {
		defer func() { _ = sink.Close() }() // whatever was not taken is sent again
	}
	cursor, err := f.readCursor()
	if err != nil {
		f.tell(err)
		return err
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		more := false
		_ = f.retry.WithContext(ctx).Run(func() error { // ends with ctx only
			next, err := f.step(ctx, cursor)
			more, cursor = next > cursor, next
			f.tell(err)
			return err
		})
		if more && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// step sends one page and gives the cursor behind it.
func (f *Feed) step(ctx context.Context, cursor uint64) (uint64, error) {
	page, err := f.config.Source.After(ctx, cursor)
	if err != nil || len(page) == 0 {
		return cursor, err
	}
	last := page[len(page)-1].ID
	own := page[:0]
	for _, record := range page {
		if record.Replica == f.config.Replica {
			own = append(own, record)
		}
	}
	if len(own) > 0 {
		if err := f.config.Sink.Send(ctx, own); err != nil {
			return cursor, err
		}
	}
	return last, f.writeCursor(last)
}

// tell keeps the answer of Err and logs when it changes.
func (f *Feed) tell(err error) {
	if errors.Is(err, context.Canceled) {
		return // the end of Run says nothing about the sink
	}
	f.mu.Lock()
	was := f.err
	f.err = err
	f.mu.Unlock()
	switch {
	case err != nil && was == nil:
		f.config.Logger.Error("audit feed: records wait", "feed", f.config.Name, "error", err)
	case err == nil && was != nil:
		f.config.Logger.Info("audit feed: goes on", "feed", f.config.Name)
	}
}

func (f *Feed) cursorFile() string { return filepath.Join(f.config.Dir, "feed-"+f.config.Name) }

func (f *Feed) readCursor() (uint64, error) {
	text, err := os.ReadFile(f.cursorFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit feed %s: %w", f.config.Name, err)
	}
	cursor, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("audit feed %s: %s does not hold a number; remove it to send everything again", f.config.Name, f.cursorFile())
	}
	return cursor, nil
}

// writeCursor replaces the file whole: half a number would leave records out.
func (f *Feed) writeCursor(cursor uint64) error {
	if err := wholefile.Replace(f.cursorFile(), []byte(strconv.FormatUint(cursor, 10)+"\n")); err != nil {
		return fmt.Errorf("audit feed %s: keep the cursor: %w", f.config.Name, err)
	}
	return nil
}
