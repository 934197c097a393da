package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const csvHeader = "corp,userid,data_centre,staff_number,login_user\n"

// inBothWays runs a test through a running gateway and with none: a person who
// types a command need not know which.
func inBothWays(t *testing.T, test func(t *testing.T, h *house)) {
	t.Parallel()
	t.Run("through the gateway", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		g := h.start()
		test(t, h)
		g.stop()
		h.run("audit", "verify").want(t, 0, "No fault found")
	})
	t.Run("with none running", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t)
		test(t, h)
		h.run("audit", "verify").want(t, 0, "No fault found")
	})
}

// rowsIn is the table as mapping list --json has it.
func rowsIn(t *testing.T, h *house, flags ...string) (rows []map[string]any) {
	t.Helper()
	said := h.run(append([]string{"mapping", "list", "--json"}, flags...)...).want(t, 0)
	if err := json.Unmarshal([]byte(said.stdout), &rows); err != nil {
		t.Fatalf("not one JSON value: %v\n%s", err, said.stdout)
	}
	return rows
}

var runPattern = regexp.MustCompile(`--undo ([0-9a-f-]{36})`)

// TestMappingRoundTrip proves F14 at the command line: dry run, import, list,
// get, export, import of the export, undo.
func TestMappingRoundTrip(t *testing.T) {
	inBothWays(t, func(t *testing.T, h *house) {
		file := h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan\ndingcorp1,lisi,live,1002,李四（财务）\n")
		h.run("mapping", "import", "--dry-run", file).want(t, 0, "2 to create, 0 to change", "dry run: nothing was changed")
		if rows := rowsIn(t, h); len(rows) != 0 {
			t.Fatalf("a dry run wrote %v", rows)
		}
		done := h.run("mapping", "import", file).want(t, 0, "line 2: create live/dingcorp1/zhangsan", "2 to create", "to take it back")
		if done.stderr != "" {
			t.Errorf("piped, so no bar and nothing else: %q", done.stderr)
		}
		run := runPattern.FindStringSubmatch(done.stdout)
		if run == nil {
			t.Fatalf("no run named in %s", done.stdout)
		}
		rows := rowsIn(t, h)
		if len(rows) != 2 || rows[0]["userid"] != "lisi" || rows[0]["login_user"] != "李四（财务）" || rows[0]["Unknown"] != nil {
			t.Errorf("rows %v", rows)
		}
		if some := rowsIn(t, h, "--text", "zhang"); len(some) != 1 || some[0]["staff_number"] != "1001" {
			t.Errorf("filtered %v", some)
		}
		h.run("mapping", "list", "--owner", "manual").want(t, 0, "LOGIN USER", "李四（财务）", "1001")
		exported := h.run("mapping", "export").want(t, 0, "staff_number", "李四（财务）")
		again := h.put("again.csv", exported.stdout)
		h.run("mapping", "import", "--dry-run", again).want(t, 0, "0 to create, 0 to change, 2 the same, 0 refused")
		h.run("mapping", "import", again).want(t, 0, "2 the same")
		h.run("mapping", "import", file, "--undo", run[1]).want(t, 0, "is taken back") // the file names what was imported, and is not read
		if rows := rowsIn(t, h); len(rows) != 0 {
			t.Errorf("undo left %v", rows)
		}
		h.run("mapping", "import", "--undo", "00000000-0000-7000-8000-000000000000").want(t, 1, "absent")
		h.run("audit", "tail").want(t, 0, "mapping.import", "mapping.undo", "mapping.export", "cli:")
	})
}

// TestBadRowChangesNothing proves T25 at the command line.
func TestBadRowChangesNothing(t *testing.T) {
	inBothWays(t, func(t *testing.T, h *house) {
		bad := h.put("bad.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan\ndingcorp1,lisi,live,=1+1,lisi\ndingcorp1,zhangsan,live,1003,x\n")
		h.run("mapping", "import", bad).want(t, 1, "line 3: refused", "formula", "line 4: refused", "duplicate", "2 line(s) refused, so nothing was changed")
		h.run("mapping", "import", "--dry-run", bad).want(t, 1, "line 3")
		h.run("mapping", "import", h.put("none.csv", "not,a\ntable\n")).want(t, 1, "none.csv", "nothing was changed")
		h.run("mapping", "import", h.path("missing.csv")).want(t, 2, "missing.csv")
		h.run("mapping", "import").want(t, 2, "give a FILE, or --undo RUN")
		if rows := rowsIn(t, h); len(rows) != 0 {
			t.Errorf("written: %v", rows)
		}
		said := h.run("mapping", "import", "--json", bad).want(t, 1)
		var answer struct {
			Plan struct {
				Refused int `json:"refused"`
				Rows    []struct {
					Line    int    `json:"line"`
					Verdict string `json:"verdict"`
				} `json:"rows"`
			} `json:"plan"`
		}
		must(t, json.Unmarshal([]byte(said.stdout), &answer))
		if answer.Plan.Refused != 2 || len(answer.Plan.Rows) != 3 || answer.Plan.Rows[1].Verdict != "refused" {
			t.Errorf("plan %+v", answer.Plan)
		}
	})
}

// TestGetTellsTheChain proves F12 at the command line: every link with its
// state, exit 1 when one is broken.
func TestGetTellsTheChain(t *testing.T) {
	inBothWays(t, func(t *testing.T, h *house) {
		file := h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1001,\ndingcorp1,zhaoliu,live,1004,\ndingcorp1,gone,live,1999,\n")
		h.run("mapping", "import", file).want(t, 0)
		h.run("mapping", "get", "zhangsan").want(t, 0, "✓ userid → FStaffNumber", "✓ FStaffNumber → staff record", "✓ person → login user", "→ zhangsan")
		h.run("mapping", "get", "zhaoliu").want(t, 1, "✓ FStaffNumber → staff record", "✗ person → login user", "KD-203")
		h.run("mapping", "get", "gone").want(t, 1, "✗ FStaffNumber → staff record", "· person → login user", "KD-202")
		said := h.run("mapping", "get", "nobody-at-all", "--json").want(t, 1, "KD-20")
		var found struct {
			Code  string `json:"code"`
			Chain struct {
				Key struct {
					UserID string `json:"userid"`
				} `json:"key"`
			} `json:"chain"`
		}
		must(t, json.Unmarshal([]byte(said.stdout), &found))
		if !strings.HasPrefix(found.Code, "KD-20") || found.Chain.Key.UserID != "nobody-at-all" {
			t.Errorf("found %+v", found)
		}
		h.run("mapping", "get").want(t, 2, "arg")
		h.kingdee.Close()
		h.run("mapping", "get", "lisi", "--data-centre", "live").want(t, 1)
	})
}

// TestStrangerOnTheAnnouncedPort: a gateway was killed, another program has its
// port. Commands open the store themselves and tell the stranger nothing.
func TestStrangerOnTheAnnouncedPort(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	h.run("mapping", "import", h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan\n")).want(t, 0)
	g.kill()
	text, err := os.ReadFile(h.path("data/local-api.json"))
	must(t, err)
	var announced struct{ Address, Token string }
	must(t, json.Unmarshal(text, &announced))
	if announced.Address != h.ops || len(announced.Token) < 26 {
		t.Fatalf("announced %s with a token of %d characters", announced.Address, len(announced.Token))
	}
	listener, err := net.Listen("tcp", h.ops)
	must(t, err)
	var mu sync.Mutex
	var heard strings.Builder
	stranger := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		heard.WriteString(r.URL.String() + "\n")
		_ = r.Header.Write(&heard)
		_, _ = io.WriteString(w, `{"entries":[{"userid":"forged","corp":"dingcorp1","data_centre":"live"}]}`)
	})}
	go func() { _ = stranger.Serve(listener) }()
	defer stranger.Close()
	said := h.run("mapping", "list").want(t, 0, "zhangsan")
	mu.Lock()
	defer mu.Unlock()
	if strings.Contains(said.stdout, "forged") {
		t.Error("the stranger was believed")
	}
	if heard.Len() == 0 || strings.Contains(heard.String(), announced.Token) || strings.Contains(heard.String(), "Authorization") {
		t.Errorf("the stranger heard:\n%s", heard.String())
	}
}

// TestProgressIsForTerminals: a bar where a person looks, nothing in a pipe.
func TestProgressIsForTerminals(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script (util-linux) makes the terminal")
	}
	h := newHouse(t)
	var csv strings.Builder
	csv.WriteString(csvHeader)
	for i := range 500 {
		csv.WriteString("dingcorp1,u" + string(rune('a'+i%26)) + strings.Repeat("x", i/26) + ",live,9" + strings.Repeat("0", i/26) + string(rune('a'+i%26)) + ",\n")
	}
	file := h.put("rows.csv", csv.String())
	onTerminal := h.runWith(func(cmd *exec.Cmd) {
		line := "stty cols 100 rows 30; " + strings.Join(cmd.Args, " ") // script gives a terminal without a size
		cmd.Path, cmd.Args = script, []string{"script", "-qec", line, "/dev/null"}
		cmd.Env = append(cmd.Env, "TERM=xterm")
	}, "mapping", "import", "--dry-run", file).want(t, 0, "500 to create")
	if !strings.Contains(onTerminal.stdout, "rows") || !strings.Contains(onTerminal.stdout, "500 / 500") {
		t.Errorf("no bar on a terminal: %q", onTerminal.stdout[max(0, len(onTerminal.stdout)-300):])
	}
	piped := h.run("mapping", "import", "--dry-run", file).want(t, 0, "500 to create")
	if piped.stderr != "" || strings.Contains(piped.stdout, "500 / 500") {
		t.Errorf("a bar in a pipe: %q", piped.stderr)
	}
}

// TestSuspendAndResume proves T23 and T41: a suspended row opens nothing from
// that moment, also for a live session, and only the explicit act brings it back.
func TestSuspendAndResume(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := h.start()
	defer g.stop()
	h.run("mapping", "import", h.put("rows.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan\n")).want(t, 0)
	v := g.wantSignIn("zhangsan", "zhangsan")
	h.run("mapping", "suspend", "zhangsan", "--reason", "left").want(t, 0, "live/dingcorp1/zhangsan is suspended")
	res, body, err := v.ask(http.MethodGet, "/launch/kingdee", nil)
	must(t, err)
	if res.StatusCode != http.StatusForbidden || !strings.Contains(body, "KD-206") {
		t.Errorf("a live session after the suspension: %d", res.StatusCode)
	}
	h.run("mapping", "get", "zhangsan").want(t, 1, "suspended", "KD-206")
	h.run("mapping", "import", h.put("again.csv", csvHeader+"dingcorp1,zhangsan,live,1001,zhangsan2\n")).want(t, 1, "refused")
	h.run("mapping", "resume", "zhangsan").want(t, 0, "is active")
	h.run("mapping", "resume", "zhangsan").want(t, 1, "not-suspended")
	h.run("mapping", "rebind", "zhangsan").want(t, 0, "is active")
	h.run("mapping", "suspend", "nobody").want(t, 1, "absent")
	g.wantSignIn("zhangsan", "zhangsan")
	h.run("audit", "tail").want(t, 0, "mapping.suspend", "mapping.resume", "mapping.change")
	h.run("audit", "export", "--person", "zhangsan").want(t, 0, `"action":"signin"`)
}
