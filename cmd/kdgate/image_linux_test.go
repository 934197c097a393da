package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestGivesBack proves R3: two seconds after its start a gateway keeps neither
// the memory nor the pages of its own file that only the start needed, stays
// below 40 MiB, and lets people in as before.
func TestGivesBack(t *testing.T) {
	h := newHouse(t)
	g := h.start()
	before := g.memory("RssFile")
	eventually(t, fmt.Sprintf("half of %d KiB of its file given back", before), func() bool {
		return g.memory("RssFile") < before/2 && g.memory("VmRSS") < 40<<10
	})
	g.wantSignIn("1001", "zhangsan")
	g.stop()
}

// memory is a line of the gateway's /proc/PID/status, in KiB.
func (g *gateway) memory(name string) (kib int) {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	must(g.t, err)
	_, rest, _ := strings.Cut(string(text), name+":")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		g.t.Fatalf("%s: %v", name, err)
	}
	return kib
}

// TestUntouched: what was ever written to, belongs to another file, or cannot be
// read as expected is not let go of, because it would be lost.
func TestUntouched(t *testing.T) {
	const file = "/usr/bin/kdgate"
	mapping := func(head string, anonymous int) string {
		return head + "\nSize: 4 kB\nRss: 4 kB\nAnonymous:        " + fmt.Sprint(anonymous) + " kB\nVmFlags: rd ex mr mw me\n"
	}
	for name, c := range map[string]struct {
		smaps string
		want  []span
	}{
		"text and tables": {
			mapping("00400000-01a00000 r-xp 00000000 fe:00 12 "+file, 0) + mapping("01a00000-02c00000 r--p 01600000 fe:00 12 "+file, 0),
			[]span{{0x400000, 0x1a00000}, {0x1a00000, 0x2c00000}},
		},
		"data":                      {mapping("02c00000-02d00000 rw-p 02800000 fe:00 12 "+file, 0), nil},
		"changed before protection": {mapping("02c00000-02d00000 r--p 02800000 fe:00 12 "+file, 12), nil},
		"shared":                    {mapping("00400000-01a00000 r-xs 00000000 fe:00 12 "+file, 0), nil},
		"another file":              {mapping("00400000-01a00000 r-xp 00000000 fe:00 13 /lib/libc.so", 0), nil},
		"a file that was exchanged": {mapping("00400000-01a00000 r-xp 00000000 fe:00 12 "+file+" (deleted)", 0), nil},
		"no file":                   {mapping("c000000000-c000400000 r--p 00000000 00:00 0", 0), nil},
		"no addresses":              {mapping("text r-xp 00000000 fe:00 12 "+file, 0), nil},
		"the next one's count":      {"00400000-01a00000 r-xp 00000000 fe:00 12 " + file + "\n" + mapping("c000000000-c000400000 r--p 00000000 00:00 0", 0), nil},
		"another form":              {"\x00\x01\n\n:\nAnonymous:\n", nil},
	} {
		if got := untouched(bytes.NewBufferString(c.smaps), file); !slices.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
}
