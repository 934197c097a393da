package lockedbuffer_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	"kdgate/internal/lockedbuffer"
)

// TestBuffer: no line of many writers is lost or torn, and a reader in between
// sees whole ones only.
func TestBuffer(t *testing.T) {
	const line = "one whole line\n"
	var b lockedbuffer.Buffer
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 20 {
				if _, err := io.WriteString(&b, line); err != nil {
					t.Error(err)
				}
				if text := b.String(); len(text)%len(line) != 0 {
					t.Errorf("a reader sees %q at the end", text[len(text)-len(text)%len(line):])
				}
			}
		})
	}
	group.Wait()
	if got, want := b.String(), strings.Repeat(line, 1000); got != want {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}
