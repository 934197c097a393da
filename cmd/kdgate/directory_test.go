package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// withDirectory turns the sync on; nothing comes by the clock while a test runs.
func withDirectory(h *house) *house {
	h.write(h.text + "directory: {mode: on, every: '@every 24h', default_position: GW0001, breaker: {share: 0.01, least: 1}}\n")
	return h
}

// sim asks a control door of a simulator.
func (h *house) sim(method, address, body string) string {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, address, strings.NewReader(body))
	must(h.t, err)
	res, err := http.DefaultClient.Do(req)
	must(h.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(h.t, err)
	if res.StatusCode > 299 {
		h.t.Fatalf("%s %s: %d %s", method, address, res.StatusCode, text)
	}
	return string(text)
}

var directoryRunPattern = regexp.MustCompile(`run (\d{8}-\d{6}\.\d{6})`)

// ran gives the id of the run that a command told of.
func ran(t *testing.T, said result) string {
	t.Helper()
	found := directoryRunPattern.FindStringSubmatch(said.stdout)
	if found == nil {
		t.Fatalf("no run named in %s%s", said.stdout, said.stderr)
	}
	return found[1]
}

// inBothWaysSynced is inBothWays with the directory on.
func inBothWaysSynced(t *testing.T, test func(t *testing.T, h *house)) {
	t.Parallel()
	for name, serve := range map[string]bool{"through the gateway": true, "with none running": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := withDirectory(newHouse(t))
			if serve {
				g := h.start()
				defer g.stop()
			}
			test(t, h)
		})
	}
}

// TestDirectoryRound proves F55 at the command line: dry run, run, diff by
// person, undo, and what a first look tells.
func TestDirectoryRound(t *testing.T) {
	inBothWaysSynced(t, func(t *testing.T, h *house) {
		h.run("directory", "status").want(t, 0, "live is kept like dingcorp1", "no run yet", "0 hired again")
		dry := h.run("directory", "run").want(t, 0, "dry run, complete", "3 created", "nothing was changed", "the first run only shows")
		if dry.stderr != "" {
			t.Errorf("piped, so no bar: %q", dry.stderr)
		}
		h.run("directory", "show", ran(t, dry)).want(t, 0, "created\tzhangsan\tzhangsan\t张三")
		h.run("directory", "undo", ran(t, dry)).want(t, 1, "dry run")
		if staff := h.sim(http.MethodGet, h.kingdee.URL+"/sim/staff", ""); strings.Contains(staff, `"lisi"`) {
			t.Error("a dry run wrote")
		}
		h.run("directory", "run", "--dry-run").want(t, 0, "dry run, complete", "3 created")
		h.run("directory", "run").want(t, 0, "complete", "3 created", "kdgate directory undo")
		h.sim(http.MethodPatch, h.dingtalk.URL+"/sim/people/lisi", `{"name":"李四四"}`)
		changed := h.run("directory", "run").want(t, 0, "1 changed", "3 the same")
		h.run("directory", "show", ran(t, changed)).want(t, 0, `name "李四" → "李四四"`)
		h.run("directory", "undo", ran(t, changed)).want(t, 0, "is undone")
		h.run("directory", "undo", ran(t, changed)).want(t, 1, "undone already")
		h.run("directory", "show", "20200101-000000.000000").want(t, 1, "no run")
		if staff := h.sim(http.MethodGet, h.kingdee.URL+"/sim/staff", ""); strings.Contains(staff, "李四四") {
			t.Error("the undo left the new name")
		}
		var runs []struct {
			ID, By, Ending string
			Dry            bool
		}
		said := h.run("directory", "runs", "--json").want(t, 0)
		must(t, json.Unmarshal([]byte(said.stdout), &runs))
		if len(runs) != 4 || !runs[2].Dry || !runs[3].Dry || runs[0].Ending != "complete" || !strings.HasPrefix(runs[0].By, "cli:") {
			t.Errorf("%+v", runs)
		}
		h.run("directory", "runs").want(t, 0, "undone", "dry complete")
		h.run("audit", "tail").want(t, 0, "directory.undo", "schedule.run")
	})
}

// TestBreakerAtTheCommandLine proves F55 and R46: too many leavers stop the run,
// the command says who they are and how to agree, and only that number passes.
func TestBreakerAtTheCommandLine(t *testing.T) {
	inBothWaysSynced(t, func(t *testing.T, h *house) {
		h.run("directory", "run", "--dry-run=false").want(t, 0)
		for _, userid := range []string{"lisi", "zhaoliu"} {
			h.sim(http.MethodDelete, h.dingtalk.URL+"/sim/people/"+userid, "")
		}
		stopped := h.run("directory", "run").want(t, 1, "stopped", "2 left", "--allow 2")
		h.run("directory", "show", ran(t, stopped)).want(t, 0, "left\tlisi", "left\tzhaoliu")
		for _, other := range []string{"1", "3", "1000"} { // another number than was stopped at is nobody's word
			h.run("directory", "run", "--allow", other).want(t, 1, "KD-605", "2 leavers, not "+other)
		}
		h.run("directory", "run", "--allow", "-1").want(t, 2, "--allow")
		h.run("directory", "run", "--allow", "2").want(t, 0, "complete", "work list")
		h.run("audit", "export").want(t, 0, `"allowed":"2"`)
		h.run("directory", "run", "--allow", "2").want(t, 1, "KD-605", "nothing to allow")
	})
}

// TestDriftAndRehire proves F53 and T42 at the command line.
func TestDriftAndRehire(t *testing.T) {
	t.Parallel()
	h := withDirectory(newHouse(t))
	g := h.start()
	defer g.stop()
	h.run("directory", "run", "--dry-run=false").want(t, 0)
	h.sim(http.MethodDelete, h.dingtalk.URL+"/sim/people/lisi?event=1", "")
	eventually(t, "the leaver is cut off", func() bool {
		return strings.Contains(h.run("audit", "tail").want(t, 0).stdout, "directory.leave")
	})
	h.sim(http.MethodPost, h.dingtalk.URL+"/sim/people?event=1", `{"userid":"lisi","name":"李四"}`)
	eventually(t, "the person who is here again waits", func() bool {
		return strings.Contains(h.run("directory", "waiting").want(t, 0).stdout, "lisi\tlisi\t李四")
	})
	h.run("directory", "agree", "zhaoliu").want(t, 1, "does not wait")
	h.run("directory", "agree", "lisi").want(t, 0, "enabled in Kingdee", "mapping resume lisi", "mapping rebind lisi")
	if said := h.run("directory", "waiting").want(t, 0); said.stdout != "" {
		t.Errorf("still waiting: %s", said.stdout)
	}
	h.run("directory", "drift", "list").want(t, 0)
	h.run("directory", "drift", "accept", "1001").want(t, 1, "no drift")
	h.run("directory", "drift", "keep", "1001", "--until", "soon").want(t, 2, "--until")
	h.run("directory", "drift", "release", "1001").want(t, 0, "released")
	h.run("directory", "status", "--json").want(t, 0, `"mode": "on"`, `"waiting": 0`)
}

// TestJobsAtTheCommandLine proves R44's replay and the tasks: dead work is found,
// read, mended and worked, and a kind can rest.
func TestJobsAtTheCommandLine(t *testing.T) {
	t.Parallel()
	h := withDirectory(newHouse(t))
	g := h.start()
	defer g.stop()
	h.run("jobs", "tasks").want(t, 0, "directory @every 24h")
	h.sim(http.MethodPost, h.dingtalk.URL+"/sim/people?event=1", `{"userid":"bad1","name":"坏手机","mobile":"12"}`)
	dead := ""
	eventually(t, "the row that cannot be written is dead", func() bool {
		var items []struct{ Kind, Key string }
		said := h.run("jobs", "list", "--state", "dead", "--json").want(t, 0)
		must(t, json.Unmarshal([]byte(said.stdout), &items))
		for _, item := range items {
			dead = item.Kind + "/" + strings.NewReplacer("/", "%2F", "+", "+").Replace(item.Key)
		}
		return dead != ""
	})
	h.run("jobs", "list").want(t, 0, "directory.person", "手机号格式不符")
	h.run("jobs", "get", dead).want(t, 0, `"userid": "bad1"`, `"state": "dead"`)
	h.run("jobs", "edit", dead, h.put("bad.json", "not json")).want(t, 2, "not one JSON value")
	h.run("jobs", "edit", dead, h.put("good.json", `{"corp":"dingcorp1","userid":"1001","why":"mended"}`)).want(t, 0, "is dead")
	h.run("jobs", "pause", "directory.person", "--for", "1h", "--why", "to look").want(t, 0, "paused until")
	h.run("jobs", "list").want(t, 0, "directory.person is paused", "to look")
	h.run("jobs", "replay", dead).want(t, 0, "is ready")
	h.run("jobs", "resume", "directory.person").want(t, 0, "worked again")
	eventually(t, "the mended item is done", func() bool {
		return strings.Contains(h.run("jobs", "get", dead).stdout, `"state": "done"`)
	})
	h.run("jobs", "replay", dead).want(t, 1, "done")
	h.run("jobs", "give-up", dead).want(t, 2, "--note")
	h.run("jobs", "list", "--state", "odd").want(t, 2, "--state")
	h.run("jobs", "get", "nonsense").want(t, 1, "KIND/KEY")
	h.run("jobs", "run", "directory").want(t, 0, "begins")
	eventually(t, "the task has run", func() bool {
		return strings.Contains(h.run("jobs", "tasks").stdout, ": partial, ")
	})
	h.run("jobs", "stop", "directory").want(t, 1, "not running")
	h.run("jobs", "run", "nothing").want(t, 1, "no task")
	h.run("jobs", "pause-task", "directory", "--why", "undo").want(t, 0, "is paused")
	h.run("directory", "status").want(t, 0, "paused by cli:")
	h.run("jobs", "resume-task", "directory").want(t, 0, "by the clock again")
	h.run("audit", "tail").want(t, 0, "queue.edit", "queue.replay", "queue.pause", "schedule.pause")
}

// TestRunIsSeenAndStopped: a long run shows how far it is on a terminal, another
// command sees it, and stops it.
func TestRunIsSeenAndStopped(t *testing.T) {
	t.Parallel()
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script (util-linux) makes the terminal")
	}
	h := withDirectory(newHouse(t))
	g := h.start()
	defer g.stop()
	entered, release := h.gate.hold()
	defer release()
	ended := make(chan result, 1)
	go func() {
		ended <- h.runWith(func(cmd *exec.Cmd) {
			line := "stty cols 100 rows 30; " + strings.Join(cmd.Args, " ")
			cmd.Path, cmd.Args = script, []string{"script", "-qec", line, "/dev/null"}
			cmd.Env = append(cmd.Env, "TERM=xterm")
		}, "directory", "run")
	}()
	<-entered
	eventually(t, "another command sees it", func() bool {
		return strings.Contains(h.run("directory", "status").want(t, 0).stdout, "under way: run ")
	})
	h.run("directory", "run").want(t, 1, "running")
	h.run("jobs", "stop", "directory").want(t, 0, "asked to end")
	said := <-ended
	said.want(t, 1, "stopped", "管理员停止")
	h.run("directory", "status").want(t, 0, "last: run", "stopped")
}

// TestDirectoryOff: the commands say what turns the sync on.
func TestDirectoryOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.run("directory", "status").want(t, 0, "off", "directory.mode")
	h.run("directory", "run").want(t, 1, "directory.mode")
	h.run("directory", "waiting").want(t, 1, "directory.mode")
	h.run("jobs", "tasks").want(t, 0)
	h.run("jobs", "list").want(t, 0)
}
