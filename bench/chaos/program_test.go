package chaos

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kdgate/internal/lockedbuffer"
	"kdgate/internal/loopback"
)

// program is the gateway as it ships, in a process of its own, so that what it
// uses can be read from /proc. It speaks TLS and keeps its state in a file.
type program struct {
	tb          testing.TB
	vendors     *vendors
	dir         string
	public, ops string
	roots       *x509.CertPool
	cmd         *exec.Cmd
	log         *lockedbuffer.Buffer
	ended       chan error
}

const programText = `
public_url: https://%s
listen: {address: "%s", cert: tls.crt, key: tls.key}
ops: {address: "%s"}
store: {driver: sqlite, path: data/kdgate.db}
audit: {dir: data/audit, anchor: {file: anchor.jsonl}}
limits: {signin_per_address: 10000000, signin_total: 60000000}
corps:
  - id: %s
    app_key: %s
    app_secret_file: dingtalk.secret
    agent_id: %d
    endpoints: {oapi: "http://%s", api: "http://%s", login: "http://%s"}
    quota: {qps: 1000000}
data_centres:
  - id: %s
    url: http://%s/K3Cloud/
    db_id: %s
    app_id: %s
    app_secret_file: kingdee.secret
    integration_user: %s
`

// startProgram builds the program, gives it people, and starts it. files is the
// most it may open, zero for what the machine gives.
func startProgram(tb testing.TB, v *vendors, people, files int) *program {
	tb.Helper()
	p := &program{tb: tb, vendors: v, dir: tb.TempDir(), log: &lockedbuffer.Buffer{}, ended: make(chan error, 1)}
	p.public, p.ops = "127.0.0.1:"+port(tb), "127.0.0.1:"+port(tb)
	p.certify()
	p.put("dingtalk.secret", v.dingSecret)
	p.put("kingdee.secret", v.kingdeeSecret)
	p.put("kdgate.yaml", fmt.Sprintf(programText, publicHost, p.public, p.ops, corpID, appKey, agentID,
		v.dingAddr, v.dingAddr, v.dingAddr, centreID, v.kingAddr, dbID, appID, integrator))
	var rows strings.Builder
	rows.WriteString("corp,userid,data_centre,staff_number\n")
	for i := range people {
		fmt.Fprintf(&rows, "%s,%s,%s,%s\n", corpID, userid(i), centreID, userid(i))
	}
	p.put("people.csv", rows.String())
	p.do(exec.CommandContext(tb.Context(), "go", "build", "-o", filepath.Join(p.dir, "kdgate"), "kdgate/cmd/kdgate"))
	p.do(exec.CommandContext(tb.Context(), filepath.Join(p.dir, "kdgate"), "mapping", "import", "people.csv", "--config", "kdgate.yaml"))
	p.start(files)
	return p
}

func port(tb testing.TB) string {
	tb.Helper()
	number, err := loopback.Port()
	must(tb, err)
	return number
}

func (p *program) put(name, text string) {
	p.tb.Helper()
	must(p.tb, os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600))
}

// do runs a command that has to end well.
func (p *program) do(cmd *exec.Cmd) {
	p.tb.Helper()
	if cmd.Args[0] != "go" {
		cmd.Dir = p.dir
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		p.tb.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

func (p *program) certify() {
	p.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(p.tb, err)
	name := pkix.Name{CommonName: "chaos"}
	text := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: name, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, text, text, &key.PublicKey, key)
	must(p.tb, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(p.tb, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	p.put("tls.crt", string(cert))
	p.put("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM(cert)
}

func (p *program) start(files int) {
	p.tb.Helper()
	serve := []string{filepath.Join(p.dir, "kdgate"), "serve", "--config", "kdgate.yaml"}
	if files > 0 { // both limits: Go raises the soft one to the hard one
		serve = append([]string{"sh", "-c", "ulimit -n " + strconv.Itoa(files) + ` && exec "$0" "$@"`}, serve...)
	}
	p.cmd = exec.Command(serve[0], serve[1:]...)
	p.cmd.Dir, p.cmd.Stderr, p.cmd.Stdout = p.dir, p.log, p.log
	must(p.tb, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	p.tb.Cleanup(p.stop)
	p.until("it is ready", patience, func() bool { return p.ask("/readyz") != nil })
}

// stop ends the program as a service manager does. It has to end well.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		if err != nil {
			p.tb.Errorf("the program ended with %v\n%s", err, tail(p.log.String()))
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		p.tb.Error("the program did not end")
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

func (p *program) until(what string, within time.Duration, so func() bool) {
	p.tb.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(within)
	for !so() {
		select {
		case <-ticker.C:
		case <-end:
			p.tb.Fatalf("not within %v: %s\n%s", within, what, tail(p.log.String()))
		}
	}
}

// ask is a page of the operations listener, nil when it is not 200.
func (p *program) ask(path string) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.ops+path, http.NoBody)
	if err != nil {
		return nil
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil
	}
	return text
}

// metric is the value of a series without labels, or -1.
func (p *program) metric(name string) int {
	for line := range bytes.Lines(p.ask("/metrics")) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			if n, err := strconv.ParseFloat(string(bytes.TrimSpace(value)), 64); err == nil {
				return int(n)
			}
		}
	}
	return -1
}

// resident is the memory in use, in MiB.
func (p *program) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kib >> 10
}

// worked is the processor time used so far.
func (p *program) worked() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// files is how many descriptors are open.
func (p *program) files() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	return len(entries)
}

// from dials the public listener as a client of 127.0.0.host, with TLS and one
// of the protocols named.
func (p *program) from(ctx context.Context, host byte, protocols ...string) (*tls.Conn, error) {
	dialer := tls.Dialer{
		NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}, Timeout: 5 * time.Second},
		Config:    &tls.Config{RootCAs: p.roots, ServerName: "localhost", NextProtos: protocols, MinVersion: tls.VersionTLS13},
	}
	conn, err := dialer.DialContext(ctx, "tcp", p.public)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// door is the way in for people from 127.0.0.host.
func (p *program) door(host byte) http.RoundTripper {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 100, DisableCompression: true,
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.from(ctx, host, "http/1.1")
		},
	}
	p.tb.Cleanup(transport.CloseIdleConnections)
	return secured{transport, p.public}
}

// secured sends requests to one address over TLS, under the name they have.
type secured struct {
	transport *http.Transport
	address   string
}

// RoundTrip implements http.RoundTripper.
func (s secured) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Host, out.URL.Host, out.URL.Scheme = req.URL.Host, s.address, "https"
	if out.Header.Get("Origin") != "" { // as a browser says it of a page it got over TLS
		out.Header.Set("Origin", "https://"+req.URL.Host)
	}
	return s.transport.RoundTrip(out)
}
