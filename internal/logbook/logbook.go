package logbook

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	gather = 5 * time.Millisecond // how long a line may wait for others
	most   = 256 << 10            // bytes that wait; whoever brings more waits too
	plenty = 128 << 10            // a larger buffer is not kept
)

// Book is an io.Writer for a slog handler, which calls Write once per line. It
// is safe for concurrent use. Build it with New.
type Book struct {
	out   io.Writer
	timer *time.Timer

	mu      sync.Mutex
	changed sync.Cond
	waiting []byte // whole lines
	spare   []byte // the buffer written last, to be used again
	busy    bool   // somebody writes to out
	lost    int    // lines that out did not take, not told of yet
	torn    bool   // the last thing that out took was half a line
}

// New gathers for out. Flush belongs at the end of the program.
func New(out io.Writer) *Book {
	b := &Book{out: out}
	b.changed.L = &b.mu
	b.timer = time.AfterFunc(time.Hour, func() { _ = b.Flush() }) // the error is told of in the book
	b.timer.Stop()
	return b
}

// Write takes one or more whole lines. It fails never: what the file refuses is
// known only later.
func (b *Book) Write(lines []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) > 0 && len(b.waiting)+len(lines) > most {
		if b.busy {
			b.changed.Wait()
			continue
		}
		_ = b.drain() // told of in the book
	}
	if len(b.waiting) == 0 {
		b.timer.Reset(gather)
	}
	b.waiting = append(b.waiting, lines...)
	return len(lines), nil
}

// Flush returns when every line that came before has been written or counted as
// lost, with the file's own error in the latter case.
func (b *Book) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.busy {
		b.changed.Wait()
	}
	return b.drain()
}

// drain writes what waits. Called with mu held and busy false; mu is free while
// the file is busy.
func (b *Book) drain() error {
	if len(b.waiting) == 0 && b.lost == 0 {
		return nil
	}
	lines := b.waiting
	b.waiting, b.spare = b.spare[:0], nil
	missing, torn := b.lost, b.torn
	b.busy = true
	b.mu.Unlock()
	n, err := b.put(lines, missing, torn)
	b.mu.Lock()
	b.busy = false
	b.account(lines, n, err)
	if cap(lines) <= plenty {
		b.spare = lines[:0]
	}
	b.changed.Broadcast()
	return err
}

// put writes lines, behind a word about missing ones, and says how many bytes
// of lines went out; -1 when not even that word did.
func (b *Book) put(lines []byte, missing int, torn bool) (int, error) {
	if torn {
		if _, err := b.out.Write([]byte("\n")); err != nil {
			return -1, err
		}
	}
	if missing > 0 {
		word := fmt.Appendf(nil, `{"level":"ERROR","msg":"log lines were lost","lines":%d}`+"\n", missing)
		if _, err := b.out.Write(word); err != nil {
			return -1, err
		}
	}
	if len(lines) == 0 {
		return 0, nil
	}
	return b.out.Write(lines)
}

// account notes what the file took of lines. Called with mu held.
func (b *Book) account(lines []byte, n int, err error) {
	if n < 0 {
		b.lost += bytes.Count(lines, newline)
		return
	}
	b.lost, b.torn = 0, false
	if err != nil {
		b.lost = bytes.Count(lines[n:], newline)
		b.torn = n > 0 && lines[n-1] != '\n'
	}
}

var newline = []byte("\n")

// Urgent wraps a handler that writes to the book: a record of level Warn or
// above is in the file when Handle returns.
func (b *Book) Urgent(inner slog.Handler) slog.Handler { return urgent{inner, b} }

type urgent struct {
	slog.Handler
	book *Book
}

// Handle implements slog.Handler.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		if failed := u.book.Flush(); err == nil {
			err = failed
		}
	}
	return err
}

// WithAttrs implements slog.Handler.
func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.book}
}

// WithGroup implements slog.Handler.
func (u urgent) WithGroup(name string) slog.Handler {
	return urgent{u.Handler.WithGroup(name), u.book}
}
