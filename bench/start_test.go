package bench

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkStart measures the production binary as people run it: its size, the
// time from the start of the process to the first good /readyz, on an empty
// folder and on one that has been used, and its memory when nothing happens.
func BenchmarkStart(b *testing.B) {
	binary := build(b)
	v := startVendors(b)
	var empty, used time.Duration
	b.Run("empty", func(b *testing.B) {
		empty = measureStart(b, func(b *testing.B) string { return writeConfig(b, v, settings{}) }, binary)
	})
	config := writeConfig(b, v, settings{})
	start(b, binary, config)()
	b.Run("used", func(b *testing.B) {
		used = measureStart(b, func(*testing.B) string { return config }, binary)
	})
	var rss float64
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			rss = idle(b, binary, config)
		}
		b.ReportMetric(rss, "rss-MiB")
	})
	fmt.Printf("\nproduction binary %.1f MB; start to ready on the embedded store: %d ms empty, %d ms used; idle RSS %.0f MiB\n\n",
		float64(size(b, binary))/1e6, empty.Milliseconds(), used.Milliseconds(), rss)
}

// build makes the binary as `make build` does, and has the system forget its
// pages. How a file was written decides in what pieces the system keeps it, and
// so how much of it counts as the process's: 28 MiB read from the disk, as on a
// machine that was started with it, up to 37 when one write has just put it there.
func build(tb testing.TB) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), "kdgate")
	if out, err := exec.CommandContext(tb.Context(), "make", "-C", "..", "build", "BIN="+binary).CombinedOutput(); err != nil {
		tb.Fatalf("make build: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(tb.Context(), "dd", "of="+binary, "oflag=nocache", "conv=notrunc,fdatasync", "count=0").CombinedOutput(); err != nil {
		tb.Logf("the pages of the binary are as the linker left them: %v: %s", err, out)
	}
	return binary
}

// mostBytes is how large the production binary may be.
const mostBytes = 40_000_000

// TestSize holds the production binary to its bound: what a new library brings
// with it shows here first.
func TestSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything with the flags of production")
	}
	if size := size(t, build(t)); size > mostBytes {
		t.Errorf("the production binary has %d bytes, at most %d are allowed", size, mostBytes)
	}
}

// TestReproducible proves T125: the same files give the same binary, whichever
// folder they lie in and whether or not they come with their history.
func TestReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("links the production binary twice")
	}
	files, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("not a checkout: %v", err) // a tarball builds with `make build` alone
	}
	var sums [][sha256.Size]byte
	for _, place := range []string{"a", "elsewhere/and/deeper"} {
		folder := filepath.Join(t.TempDir(), place)
		for name := range strings.SplitSeq(strings.TrimSuffix(string(files), "\x00"), "\x00") {
			copyFile(t, filepath.Join("..", name), filepath.Join(folder, name))
		}
		if place == "a" { // as a checkout has it
			for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "a"}} {
				if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", folder}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("git %s: %v\n%s", args[0], err, out)
				}
			}
		}
		binary := filepath.Join(folder, "out", "kdgate")
		build := exec.CommandContext(t.Context(), "make", "-C", folder, "build", "VERSION=v1.2.3", "BIN="+binary)
		build.Env = append(os.Environ(), "GOFLAGS=-buildvcs=auto") // whatever this machine's own flags are
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("make build: %v\n%s", err, out)
		}
		content, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(folder)) {
			t.Errorf("the binary names the folder %s", folder)
		}
		sums = append(sums, sha256.Sum256(content))
	}
	if sums[0] != sums[1] {
		t.Errorf("two folders, two binaries: %x and %x", sums[0], sums[1])
	}
}

// copyFile copies one file of the tree with its mode; one that was removed and
// not yet committed is left out.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

func size(tb testing.TB, binary string) int64 {
	tb.Helper()
	info, err := os.Stat(binary)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}

// measureStart gives the mean time from start to ready.
func measureStart(b *testing.B, config func(b *testing.B) string, binary string) time.Duration {
	var sum time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		path := config(b)
		b.StartTimer()
		began := time.Now()
		stop := start(b, binary, path)
		sum += time.Since(began)
		n++
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	return sum / time.Duration(n)
}

var (
	opsAddress    = regexp.MustCompile(`ops: \{address: "([^"]+)"`)
	listenAddress = regexp.MustCompile(`listen: \{address: "([^"]+)"`)
)

// start runs `kdgate serve` and returns when it is ready; the function ends it.
func start(tb testing.TB, binary, config string) (stop func()) {
	tb.Helper()
	_, stop = startServe(tb, exec.Command(binary, "serve", "--config", config), config)
	return stop
}

// startServe starts cmd, which serves what config says, with its log in a file
// beside it as a service manager would.
func startServe(tb testing.TB, cmd *exec.Cmd, config string) (*process, func()) {
	tb.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Env = []string{"GOMAXPROCS=1"}
	log, err := os.Create(filepath.Join(filepath.Dir(config), "log.json"))
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ops := string(opsAddress.FindSubmatch(text)[1])
	if err := untilReady(ops); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		tb.Fatal(err)
	}
	return &process{cmd: cmd, addr: string(listenAddress.FindSubmatch(text)[1])}, func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			tb.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			tb.Errorf("kdgate serve ended with: %v", err)
		}
	}
}

// untilReady knocks every millisecond.
func untilReady(ops string) error {
	patience := time.After(30 * time.Second)
	knock := time.NewTicker(time.Millisecond)
	defer knock.Stop()
	for {
		select {
		case <-patience:
			return errors.New("kdgate serve does not get ready")
		case <-knock.C:
		}
		conn, err := net.Dial("tcp", ops)
		if err != nil {
			continue
		}
		_ = conn.Close()
		res, err := http.Get("http://" + ops + "/readyz")
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// idle is the memory in MiB of a gateway that nobody has asked for anything for
// four seconds; what its start needed it gives back after two.
func idle(tb testing.TB, binary, config string) float64 {
	tb.Helper()
	p, stop := startServe(tb, exec.Command(binary, "serve", "--config", config), config)
	defer stop()
	later(tb.Context(), 4*time.Second)
	return p.memory(tb, "VmRSS")
}
