package storetest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kdgate/internal/loopback"
)

// Redis is a redis-server of one test, on a free loopback port, with its data in
// a temporary folder. Stop, Kill and Start may follow each other; the port and
// the data stay.
type Redis struct {
	Addr     string // host:port
	Password string // of the default user, from the option --requirepass

	tb      testing.TB
	dir     string
	options []string
	ready   string // what it says when it is ready
	cmd     *exec.Cmd
	exited  chan struct{}

	mu   sync.Mutex
	said []string // of it, what matters, oldest first
}

// mostSaid bounds the lines that are kept of what a server says.
const mostSaid = 1000

// Said are the lines that matter (Redis marks them with #) which the server has
// said, the last thousand: for telling a slow failover from a slow client.
func (r *Redis) Said() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

func (r *Redis) hear(line string) {
	if !strings.Contains(line, " # ") {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, line)
	r.said = r.said[max(0, len(r.said)-mostSaid):]
}

// startTries bounds the search for a free port: another process may take the
// one just found, and a node of a cluster takes the port 10,000 above it too.
const startTries = 10

// patience is how long anything that redis-server does at once may take.
const patience = 10 * time.Second

// StartRedis starts redis-server with options as on its command line, for
// example "--appendonly", "yes". It is gone when the test ends. Without
// redis-server the test is skipped, or fails where CI=true.
func StartRedis(tb testing.TB, options ...string) *Redis {
	tb.Helper()
	r := &Redis{tb: tb, ready: "Ready to accept connections"}
	r.options = append([]string{"--save", "", "--daemonize", "no"}, options...)
	if i := slices.Index(options, "--requirepass"); i >= 0 && i+1 < len(options) {
		r.Password = options[i+1]
	}
	r.first()
	return r
}

// first finds a free port and starts the server on it.
func (r *Redis) first() {
	r.tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			r.tb.Fatal("redis-server is missing: apt-get install redis-server")
		}
		r.tb.Skip("redis-server is missing: apt-get install redis-server")
	}
	r.dir = r.tb.TempDir()
	r.tb.Cleanup(r.Kill)
	var err error
	for range startTries {
		if r.Addr, err = freeAddr(); err != nil {
			r.tb.Fatal(err)
		}
		if err = r.start(); err == nil {
			return
		}
	}
	r.tb.Fatal(err)
}

// URL is how a client names this Redis.
func (r *Redis) URL() string {
	if r.Password == "" {
		return "redis://" + r.Addr + "/0"
	}
	return "redis://:" + r.Password + "@" + r.Addr + "/0"
}

// Start starts the server again after Stop or Kill.
func (r *Redis) Start() {
	r.tb.Helper()
	if err := r.start(); err != nil {
		r.tb.Fatal(err)
	}
}

// Stop ends the server in good order; what it persists is on the disk.
func (r *Redis) Stop() { r.end(syscall.SIGTERM) }

// Kill ends the server with kill -9.
func (r *Redis) Kill() { r.end(syscall.SIGKILL) }

func (r *Redis) end(signal os.Signal) {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Signal(signal) // one that has gone already is what we want
	<-r.exited
	r.cmd = nil
}

func freeAddr() (string, error) {
	port, err := loopback.Port()
	return net.JoinHostPort("127.0.0.1", port), err
}

// start returns when the server accepts connections, which it says itself.
func (r *Redis) start() error {
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return err
	}
	// A configuration file comes first, options over it; so the port goes last.
	cmd := exec.Command("redis-server", append(slices.Clone(r.options), "--port", port, "--bind", "127.0.0.1", "--dir", r.dir)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd, r.exited = cmd, make(chan struct{})
	ready := make(chan struct{})
	go r.watchOutput(cmd, out, ready, r.exited)
	select {
	case <-ready:
		return nil
	case <-r.exited:
		r.cmd = nil
		return errors.New("redis-server ended at once: is the port taken, or an option wrong?")
	case <-time.After(patience):
		r.Kill()
		return errors.New("redis-server does not get ready")
	}
}

// watchOutput closes ready when the server says so, and exited when it has gone.
func (r *Redis) watchOutput(cmd *exec.Cmd, out io.Reader, ready, exited chan struct{}) {
	lines := bufio.NewScanner(out)
	for told := false; lines.Scan(); {
		r.hear(lines.Text())
		if !told && strings.Contains(lines.Text(), r.ready) {
			told = true
			close(ready)
		}
	}
	_ = cmd.Wait() // a killed server is no failure
	close(exited)
}

// Pause stops the server where it stands, as a machine that hangs: connections
// stay open and nothing is answered, until Resume.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (r *Redis) Resume() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(signal os.Signal) {
	r.tb.Helper()
	if r.cmd == nil {
		r.tb.Fatal("redis-server does not run")
	}
	if err := r.cmd.Process.Signal(signal); err != nil {
		r.tb.Fatal(err)
	}
}

// Try is Do for a server that may be away or refuse.
func (r *Redis) Try(args ...string) (string, error) { return r.do(args) }

// Do sends one command over a connection of its own and gives the reply as text,
// array elements joined by spaces. An error reply fails the test.
func (r *Redis) Do(args ...string) string {
	r.tb.Helper()
	reply, err := r.do(args)
	if err != nil {
		r.tb.Fatalf("redis %s: %v", args[0], err)
	}
	return reply
}

func (r *Redis) do(args []string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.Addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	if r.Password != "" {
		if _, err := roundTrip(conn, in, []string{"AUTH", r.Password}); err != nil {
			return "", err
		}
	}
	return roundTrip(conn, in, args)
}

func roundTrip(out io.Writer, in *bufio.Reader, args []string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return "", err
	}
	return readReply(in)
}

// readReply reads one RESP2 reply.
func readReply(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return "", errors.New("empty reply")
	}
	switch line[0] {
	case '-':
		return "", errors.New(line[1:])
	case '$':
		size, err := strconv.Atoi(line[1:])
		if err != nil || size < 0 {
			return "", err
		}
		text := make([]byte, size+2)
		_, err = io.ReadFull(in, text)
		return string(text[:size]), err
	case '*':
		count, err := strconv.Atoi(line[1:])
		parts := make([]string, 0, max(0, count))
		for i := 0; i < count && err == nil; i++ {
			var part string
			part, err = readReply(in)
			parts = append(parts, part)
		}
		return strings.Join(parts, " "), err
	default:
		return line[1:], nil
	}
}
