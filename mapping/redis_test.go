package mapping_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kdgate/mapping"
	"kdgate/store/redisstore"
)

// redisRig is the rig over a real Redis on a socket of its own.
func redisRig(t *testing.T) *rig {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server here")
	}
	socket := filepath.Join(t.TempDir(), "s")
	server := exec.CommandContext(t.Context(), program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", t.TempDir())
	must(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	driver, err := redisstore.Open(redisstore.Config{Addrs: []string{socket}})
	must(t, err)
	t.Cleanup(func() { must(t, driver.Close()) })
	for driver.Ping(t.Context()) != nil {
		must(t, t.Context().Err())
	}
	return newRigOn(t, driver)
}

// TestOnRedis proves that the table leans on nothing but the seam: uniqueness
// (T17), an import with its undo, and a sign-in, over the other driver.
func TestOnRedis(t *testing.T) {
	r := redisRig(t)
	var group sync.WaitGroup
	var made atomic.Int64
	for i := range 50 {
		group.Go(func() {
			if _, err := r.Create(t.Context(), admin, mapping.Draft{Key: key(fmt.Sprint("p", i)), LoginUser: "张三（财务） 01"}); err == nil {
				made.Add(1)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("%d of 50 creates succeeded", made.Load())
	}
	before := r.content()
	var lines []string
	for i := range 300 {
		lines = append(lines, line(fmt.Sprintf("u%03d", i), fmt.Sprint("s", i), fmt.Sprintf("员工%03d", i)))
	}
	run := r.apply(lines...)
	if n := len(r.content()); n != 301 {
		t.Errorf("%d rows after the import", n)
	}
	r.kingdee.add("s7", user("7", "员工007"))
	r.wantCode("u007", "")
	r.wantCode("u007", "")
	_, err := r.Undo(t.Context(), admin, run.ID, nil)
	must(t, err)
	if diff := cmp.Diff(before, r.content()); diff != "" {
		t.Error(diff)
	}
}
