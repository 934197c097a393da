package app

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/store/storetest"
)

// TestRecordsReachTheReceiver proves F41: the configuration's syslog address
// gets every record; one that is away is shown, and sign-ins go on.
func TestRecordsReachTheReceiver(t *testing.T) {
	r := newRig(t)
	at, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := at.Addr().String()
	must(t, at.Close()) // nobody there yet
	s := r.serve(r.load("audit: {dir: data/audit}", "audit: {dir: data/audit, syslog: tcp://"+address+"}"))
	eventually(t, "the receiver's absence is shown", func() bool {
		status, answer := s.readiness()
		return status == http.StatusOK && answer.Checks["audit syslog"] != "ok"
	})
	at, err = net.Listen("tcp", address)
	must(t, err)
	defer at.Close()
	conn, err := at.Accept()
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	came := bufio.NewReader(conn)
	for heard := ""; !strings.Contains(heard, " kdgate - config.load - {") || !strings.Contains(heard, " kdgate - serve.start - {"); {
		more, err := came.ReadString('}')
		if heard += more; err != nil {
			t.Fatalf("%v after %q", err, heard)
		}
	}
}

// TestReplicasHoldAllRecords proves F41: each replica's own file answers for
// both, after the other is gone too.
func TestReplicasHoldAllRecords(t *testing.T) {
	redis := storetest.StartRedis(t)
	r := newRig(t)
	r.put("seal.key", strings.Repeat("k", 32))
	replica := func(name string) *running {
		options := r.options(r.load(
			"store: {driver: sqlite, path: data/kdgate.db}", "store: {driver: redis, url: redis://"+redis.Addr+"}",
			"seal: {", "seal: {key_file: seal.key, ", "data/audit", "data/audit-"+name))
		options.Replica = name
		return r.serveWith(options)
	}
	one, two := replica("one"), replica("two")
	holdsBoth := func(s *running) func() bool {
		return func() bool {
			records, err := s.log.Search(t.Context(), audit.Query{Action: audit.ActionServeStart})
			must(t, err)
			return len(records) == 2
		}
	}
	eventually(t, "one holds two's records", holdsBoth(one))
	eventually(t, "two holds one's records", holdsBoth(two))
	must(t, one.stop())
	must(t, two.stop())
	keys, err := r.load("seal: {", "seal: {key_file: seal.key, ").SealKeys()
	must(t, err)
	report, err := audit.Verify(t.Context(), audit.VerifyConfig{Dir: r.dir + "/data/audit-two", Key: keys[0]})
	if err != nil || len(report.Chains) != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestOldRecordsLeave proves R65: what is past audit.retain goes by itself.
func TestOldRecordsLeave(t *testing.T) {
	r := newRig(t)
	start := time.Now()
	s := r.serve(r.load())
	must(t, s.stop())
	r.now = func() time.Time { return time.Now().Add(186 * 24 * time.Hour) }
	s = r.serve(r.load())
	eventually(t, "the first day has gone", func() bool {
		records, err := s.log.Search(t.Context(), audit.Query{To: start.Add(48 * time.Hour)})
		must(t, err)
		return len(records) == 0
	})
}
