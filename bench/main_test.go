package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The environment of a process that this one starts. They do not begin with
// KDGATE_, which would make them configuration.
const (
	partEnv    = "BENCH_PART"    // gateway or floor; empty: the load
	orderEnv   = "BENCH_ORDER"   // what the part needs to know, as JSON
	profileEnv = "BENCH_PROFILE" // folder for CPU profiles, set by whoever runs the benchmark
)

func TestMain(m *testing.M) {
	parts := map[string]func(context.Context, string) error{
		"gateway": playGateway, "floor": playFloor, "bare": playBare,
		"town": playTown, "directory gateway": playDirectory, "directory floor": playDirectoryFloor,
	}
	play, ok := parts[os.Getenv(partEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	if err := playPart(play); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// playPart runs a part until its standard input ends, which it does when the
// load ends, however that comes about.
func playPart(play func(context.Context, string) error) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if folder := os.Getenv(profileEnv); folder != "" {
		finish, err := profile(filepath.Join(folder, fmt.Sprintf("%s-%d", os.Getenv(partEnv), os.Getpid())))
		if err != nil {
			return err
		}
		defer finish()
	}
	return play(ctx, os.Getenv(orderEnv))
}

// profile writes name.pprof, the processor's time, and name.allocs.pprof, all
// that was ever allocated, when what it gives is called.
func profile(name string) (finish func(), err error) {
	file, err := os.Create(name + ".pprof")
	if err != nil {
		return nil, err
	}
	allocs, err := os.Create(name + ".allocs.pprof")
	if err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = pprof.Lookup("allocs").WriteTo(allocs, 0)
		_, _ = file.Close(), allocs.Close()
	}, pprof.StartCPUProfile(file)
}

// process is a part that runs, or the production binary.
type process struct {
	cmd  *exec.Cmd
	addr string // what it printed after "ready"
}

// startPart runs this test binary as one of the parts, on one processor.
func startPart(tb testing.TB, part, order string) *process {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	cmd := onFirstCore(self)
	cmd.Env = []string{"GOMAXPROCS=1"}
	return startCommand(tb, cmd, part, order)
}

// startCommand runs a command as one of the parts, with what its environment has
// already, until the load ends.
func startCommand(tb testing.TB, cmd *exec.Cmd, part, order string) *process {
	tb.Helper()
	cmd.Env = append(os.Environ(), append(cmd.Env, partEnv+"="+part, orderEnv+"="+order)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("%s ended with: %v", part, err)
		}
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		tb.Fatalf("%s ended before it was ready", part)
	}
	addr, ok := strings.CutPrefix(lines.Text(), "ready ")
	if !ok {
		tb.Fatalf("%s said %q", part, lines.Text())
	}
	return &process{cmd: cmd, addr: addr}
}

// onFirstCore is a command bound to the first core where the system can do that.
func onFirstCore(name string, args ...string) *exec.Cmd {
	if taskset, err := exec.LookPath("taskset"); err == nil && runtime.NumCPU() > 1 {
		return exec.Command(taskset, append([]string{"-c", "0", name}, args...)...)
	}
	return exec.Command(name, args...)
}

// toOtherCores moves the load and the simulators away from the first core, with
// everything they start from now on, and back at the end.
func toOtherCores(tb testing.TB) {
	tb.Helper()
	cores := runtime.NumCPU()
	if _, err := exec.LookPath("taskset"); err != nil || cores < 2 {
		return
	}
	bind := func(cores string) {
		if out, err := exec.Command("taskset", "-a", "-c", "-p", cores, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
			tb.Logf("not bound to a core: %v: %s", err, out)
		}
	}
	procs := runtime.GOMAXPROCS(cores - 1)
	bind("1-" + strconv.Itoa(cores-1))
	tb.Cleanup(func() {
		bind("0-" + strconv.Itoa(cores-1))
		runtime.GOMAXPROCS(procs)
	})
}

// tick is the unit of CPU times in /proc, USER_HZ, 100 a second on every Linux.
const tick = 10 * time.Millisecond

// cpu is the processor time the process has used, zero where there is no /proc.
func (p *process) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ") // after the name, which may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		tb.Fatalf("/proc/stat: %q", text)
	}
	var sum time.Duration
	for _, field := range fields[11:13] { // utime, stime: 14 and 15 in proc(5)
		ticks, err := strconv.Atoi(field)
		if err != nil {
			tb.Fatal(err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum
}

// memory is VmRSS or VmHWM of the process in MiB, zero where there is no /proc.
func (p *process) memory(tb testing.TB, name string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kib / 1024
		}
	}
	tb.Fatalf("/proc/status has no %s", name)
	return 0
}

// later waits, or ends with the context.
func later(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
