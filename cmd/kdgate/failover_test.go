package main

import (
	"strings"
	"testing"

	"kdgate/mapping/consent"
	"kdgate/store/storetest"
)

// TestLostSuspension proves R14 without wait_replicas: a Redis that comes back
// without its last writes, as the replica that a failover promotes, opens no
// door to who was suspended in them, within a minute, and also where the
// gateway was started anew and remembers nothing.
func TestLostSuspension(t *testing.T) {
	for name, restart := range map[string]bool{"gateway goes on": false, "gateway starts anew": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.StartRedis(t)
			h := onRedis(t, redis, "")
			h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
			g := h.start()
			g.wantSignIn("lisi", "李四（财务）")
			redis.Do("SAVE") // all that the new master will know
			h.run("mapping", "suspend", "lisi", "--reason", "left").want(t, 0)
			if restart {
				g.stop()
			}
			redis.Kill()
			redis.Start()
			if restart {
				g = h.start()
			}
			g.logged("the store forgot a suspension", "lisi")
			h.run("mapping", "get", "lisi").want(t, 1, "KD-206")
			g.visitor().refused("lisi", "KD-206")
			g.stop()
			h.run("audit", "verify").want(t, 0, "No fault found")
		})
	}
}

// TestLostDecisions proves R14 at the command line for what people said and decided
// in the moment that a failover forgot: a consent that was withdrawn is withdrawn and
// a rule that was removed is gone, within a minute, whether or not the gateway
// remembers; and both can be changed again without a start.
func TestLostDecisions(t *testing.T) {
	for name, restart := range map[string]bool{"gateway goes on": false, "gateway starts anew": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.StartRedis(t)
			h := onRedis(t, redis, "")
			h.write(h.text + "directory: {mode: on, every: '@every 24h', default_position: GW0001, consent: {mode: required, version: '2026-03'}}\n")
			g := h.start()
			rule := h.put("rule.yaml", "name: 借款\nprocess: PROC-2\nsince: 2026-01-01\ntemplate: expense-reimbursement\n")
			h.run("approvals", "save", rule).want(t, 0)
			h.run("consent", "import", h.put("yes.csv", "userid,state\nlisi,given\n")).want(t, 0)
			redis.Do("SAVE") // all that the new master will know
			h.run("approvals", "remove", "借款").want(t, 0)
			h.run("consent", "import", h.put("no.csv", "userid,state\nlisi,withdrawn\n")).want(t, 0)
			if restart {
				g.stop()
			}
			redis.Kill()
			redis.Start()
			if restart {
				g = h.start()
			}
			g.logged("the store forgot that a consent was withdrawn", "lisi")
			g.logged("the store put decisions about rules of approvals back")
			if rows := consents(t, h); rows["lisi"].State != consent.Withdrawn || !strings.HasPrefix(rows["lisi"].By, "cli:") {
				t.Errorf("%+v", rows)
			}
			h.run("approvals", "show", "借款").want(t, 1, "no rule")
			h.run("approvals", "save", rule).want(t, 0, "off")
			h.run("consent", "import", h.path("yes.csv")).want(t, 0, "1 change something")
			g.stop()
			h.run("audit", "verify").want(t, 0, "No fault found")
		})
	}
}

// TestRowPutBack proves R6 and R14 at the door: who was bound to their row in the
// moment that a failover forgot clicks again and is in, bound as before, and the
// list of rows can be read.
func TestRowPutBack(t *testing.T) {
	t.Parallel()
	redis := storetest.StartRedis(t)
	h := onRedis(t, redis, "")
	h.run("mapping", "import", h.put("rows.csv", threeRows)).want(t, 0)
	g := h.start()
	redis.Do("SAVE") // all that the new master will know
	g.wantSignIn("lisi", "李四（财务）")
	g.wantSignIn("zhangsan", "zhangsan")
	redis.Kill()
	redis.Start()
	g.wantSignIn("lisi", "李四（财务）")
	g.logged("they are mended", "rows") // the row of who did not click
	h.run("mapping", "list").want(t, 0, "zhangsan")
	h.run("mapping", "get", "lisi", "--json").want(t, 0, `"unionid"`)
	g.stop()
	h.run("audit", "verify").want(t, 0, "No fault found")
}
