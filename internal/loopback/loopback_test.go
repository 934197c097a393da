package loopback

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// TestNoPortTwice: two processes that ask at once share none, and none is
// the kernel's own.
func TestNoPortTwice(t *testing.T) {
	if os.Getenv("KDGATE_PORTS") != "" {
		for range 200 {
			port, err := Port()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = os.Stdout.WriteString("port " + port + "\n")
		}
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent has both lists
		return
	}
	var (
		mu   sync.Mutex
		seen = make(map[string]bool)
		told sync.WaitGroup
	)
	for range 2 {
		cmd := exec.Command(os.Args[0], "-test.run", "TestNoPortTwice")
		cmd.Env = append(os.Environ(), "KDGATE_PORTS=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		told.Go(func() {
			var text strings.Builder
			for buf := make([]byte, 4096); strings.Count(text.String(), "\n") < 200; {
				n, err := out.Read(buf)
				if err != nil {
					t.Error(err)
					return
				}
				text.Write(buf[:n])
			}
			mu.Lock()
			defer mu.Unlock()
			for _, port := range strings.Fields(strings.ReplaceAll(text.String(), "port ", "")) {
				if seen[port] {
					t.Errorf("port %s was given twice", port)
				}
				seen[port] = true
			}
		})
		t.Cleanup(func() {
			_ = in.Close()
			_ = cmd.Wait()
		})
	}
	told.Wait()
	if len(seen) != 400 {
		t.Errorf("%d ports", len(seen))
	}
}
