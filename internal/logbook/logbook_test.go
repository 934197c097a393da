package logbook_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/internal/logbook"
)

// file notes each call, and can be slow or full.
type file struct {
	mu    sync.Mutex
	text  bytes.Buffer
	calls int
	room  int           // bytes that it still takes; negative: any number
	gate  chan struct{} // a call waits for it; nil: none does
}

var errFull = errors.New("no space left on device")

func (f *file) Write(p []byte) (int, error) {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.room >= 0 && len(p) > f.room {
		n, _ := f.text.Write(p[:f.room])
		f.room = 0
		return n, errFull
	}
	if f.room >= 0 {
		f.room -= len(p)
	}
	return f.text.Write(p)
}

func (f *file) is() (string, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String(), f.calls
}

func (f *file) makeRoom(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = n
}

// Lines of one moment are one call, in order, and none waits for the next line.
func TestGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{room: -1}
		b := logbook.New(f)
		var want strings.Builder
		for i := range 100 {
			_, _ = fmt.Fprintf(io.MultiWriter(b, &want), "line %d\n", i)
		}
		if text, calls := f.is(); text != "" || calls != 0 {
			t.Errorf("written at once: %q", text)
		}
		time.Sleep(10 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if text, calls := f.is(); text != want.String() || calls != 1 {
			t.Errorf("%d calls, %q", calls, text)
		}
		_, _ = io.WriteString(b, "later\n")
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if text, calls := f.is(); text != want.String()+"later\n" || calls != 2 {
			t.Errorf("%d calls, %q", calls, text)
		}
	})
}

// A warning is in the file when the call returns, behind what came before it.
func TestUrgent(t *testing.T) {
	f := &file{room: -1}
	b := logbook.New(f)
	log := slog.New(b.Urgent(slog.NewJSONHandler(b, nil))).With("a", 1).WithGroup("g")
	log.Info("first")
	if text, _ := f.is(); text != "" {
		t.Errorf("not gathered: %q", text)
	}
	log.Warn("second")
	text, calls := f.is()
	if calls != 1 || strings.Index(text, "first") > strings.Index(text, "second") || strings.Count(text, "\n") != 2 || !strings.Contains(text, `"a":1`) {
		t.Errorf("%d calls: %q", calls, text)
	}
}

// Nothing is lost at the end, from however many goroutines, with a file that is slow.
func TestFlushKeepsEverything(t *testing.T) {
	f := &file{room: -1}
	b := logbook.New(f)
	const writers, each = 16, 500
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				_, _ = fmt.Fprintf(b, "%d %d %s\n", w, i, strings.Repeat("x", 200))
			}
		})
	}
	all.Wait()
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	text, _ := f.is()
	next := map[int]int{}
	for line := range strings.Lines(text) {
		var w, i int
		if _, err := fmt.Sscanf(line, "%d %d ", &w, &i); err != nil || i != next[w] {
			t.Fatalf("%q after %d: %v", line, next[w], err)
		}
		next[w]++
	}
	for w := range writers {
		if next[w] != each {
			t.Errorf("writer %d: %d lines", w, next[w])
		}
	}
}

// A file that does not keep up slows down whoever logs, instead of the memory filling.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{room: -1, gate: make(chan struct{})}
		b := logbook.New(f)
		line := []byte(strings.Repeat("x", 1<<10-1) + "\n")
		var done int
		go func() {
			for ; done < 2000; done++ {
				_, _ = b.Write(line)
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait() // everybody waits for the file
		if done == 0 || done > 600 {
			t.Errorf("%d lines of 1 KiB were taken while the file took none", done)
		}
		close(f.gate)
		synctest.Wait()
		if err := b.Flush(); err != nil || done != 2000 {
			t.Errorf("%d lines, %v", done, err)
		}
		if text, _ := f.is(); len(text) != 2000<<10 {
			t.Errorf("%d bytes", len(text))
		}
	})
}

// What a full disk refused is counted, and the count is the first thing told afterwards.
func TestLostLinesAreTold(t *testing.T) {
	f := &file{room: 9}
	b := logbook.New(f)
	_, _ = io.WriteString(b, "first\nsecond\nthird\n")
	if err := b.Flush(); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	_, _ = io.WriteString(b, "fourth\n")
	if err := b.Flush(); !errors.Is(err, errFull) {
		t.Fatal(err)
	}
	f.makeRoom(-1)
	_, _ = io.WriteString(b, "fifth\n")
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "first\nsec\n" + `{"level":"ERROR","msg":"log lines were lost","lines":3}` + "\nfifth\n"
	if text, _ := f.is(); text != want {
		t.Errorf("%q", text)
	}
	if err := b.Flush(); err != nil {
		t.Error(err)
	}
	if text, _ := f.is(); text != want {
		t.Errorf("told twice: %q", text)
	}
}

// BenchmarkLine is the price of a line that is gathered, and of one that is not.
func BenchmarkLine(b *testing.B) {
	for _, name := range []string{"gathered", "alone"} {
		b.Run(name, func(b *testing.B) {
			out, err := newFile(b)
			if err != nil {
				b.Fatal(err)
			}
			book := logbook.New(out)
			handler := book.Urgent(slog.NewJSONHandler(book, nil))
			if name == "alone" {
				handler = slog.NewJSONHandler(out, nil)
			}
			log := slog.New(handler)
			b.ReportAllocs()
			for b.Loop() {
				log.LogAttrs(b.Context(), slog.LevelInfo, "request", slog.String("request_id", "0123456789abcdef"),
					slog.String("method", "GET"), slog.String("path", "/K3Cloud/html5/x.ashx"), slog.Int("status", 200))
			}
		})
	}
}

func newFile(b *testing.B) (*os.File, error) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "log.json"))
	if err == nil {
		b.Cleanup(func() { _ = f.Close() })
	}
	return f, err
}
