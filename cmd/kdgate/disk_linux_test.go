package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a disk of its own under the data folder, which only root may.
func smallDisk(t *testing.T, h *house, options string) {
	t.Helper()
	must(t, os.MkdirAll(h.path("data"), 0o700))
	err := syscall.Mount("tmpfs", h.path("data"), "tmpfs", 0, options)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("a small disk cannot be mounted here (root may): %v", err)
	}
	must(t, err)
	t.Cleanup(func() { _ = syscall.Unmount(h.path("data"), syscall.MNT_DETACH) })
}

// fill takes what is left of the disk but for about so many bytes.
func (h *house) fill(leave int64) {
	h.t.Helper()
	var fs syscall.Statfs_t
	must(h.t, syscall.Statfs(h.path("data"), &fs))
	size := int64(fs.Bavail)*fs.Bsize - leave
	file, err := os.Create(h.path("data/filler"))
	must(h.t, err)
	defer file.Close()
	if err := syscall.Fallocate(int(file.Fd()), 0, 0, size); err != nil {
		h.t.Fatalf("fill %d bytes: %v", size, err)
	}
}

// TestDiskFull proves R69 and R37: nearly full the disk is spoken of and metered,
// full nobody is let in and nothing is half written, and with the space back the
// gateway goes on by itself with a log that verifies.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	smallDisk(t, h, "size=32m,mode=0700")
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	g := h.start()
	inside := g.wantSignIn("zhangsan", "zhangsan")
	g.ready(true)
	if _, body := g.opsGet("/readyz"); !strings.Contains(body, `"disk":"ok"`) {
		t.Errorf("with space: %s", body)
	}

	h.fill(1 << 20)
	status, body := g.opsGet("/readyz")
	if status != http.StatusOK || !strings.Contains(body, "% full") {
		t.Errorf("nearly full: %d %s", status, body)
	}
	if _, metrics := g.opsGet("/metrics"); !strings.Contains(metrics, "kdgate_data_disk_used_ratio 0.9") {
		t.Error("the metric does not say how full the disk is")
	}
	g.logged("not ready", `"disk"`, "% full")

	must(t, os.Remove(h.path("data/filler")))
	h.fill(0)
	refused := false
	for range 200 { // until what was allocated before is used up
		res, page, err := inside.ask(http.MethodGet, "/launch/kingdee", nil)
		must(t, err)
		if refused = res.StatusCode == http.StatusServiceUnavailable; refused {
			if !strings.Contains(page, "KD-50") {
				t.Errorf("refused without saying whose fault it is:\n%.300s", page)
			}
			break
		}
	}
	if !refused {
		t.Fatal("a full disk refuses nobody: launches go unrecorded")
	}
	g.ready(false)
	h.run("mapping", "suspend", "lisi").want(t, 1)
	h.run("backup", h.path("b")).want(t, 1)
	if _, err := os.Stat(h.path("b")); err == nil {
		t.Error("half a backup got its name")
	}

	must(t, os.Remove(h.path("data/filler")))
	g.ready(true)
	g.wantSignIn("lisi", "李四（财务）")
	h.run("mapping", "suspend", "lisi").want(t, 0)
	g.stop()
	h.run("audit", "verify").want(t, 0, "No fault found")
}
