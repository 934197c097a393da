package main

import (
	"encoding/json"
	"regexp"
	"testing"
)

// TestNoticesByCommand proves F35 for notices: a trial message goes out through
// the gateway that runs, and what became of it is listed; without one it waits.
func TestNoticesByCommand(t *testing.T) {
	h := newHouse(t)
	h.run("notices", "test", "zhangsan").want(t, 0, "in the outbox")
	h.run("notices", "list").want(t, 0, "user:zhangsan", "waiting", "test")
	h.run("notices", "test", "fax:1").want(t, 1, "not an address")
	h.run("notices", "test").want(t, 2, "arg")
	h.run("notices").want(t, 2, "name a command")
	said := h.run("notices", "list", "--json", "--state", "waiting").want(t, 0)
	var list []struct {
		Topic      string
		Recipients []struct{ Who, State string }
	}
	if err := json.Unmarshal([]byte(said.stdout), &list); err != nil || len(list) != 1 || list[0].Recipients[0].Who != "user:zhangsan" {
		t.Errorf("%v: %s", err, said.stdout)
	}
	h.run("notices", "list", "--topic", "stock").want(t, 0, "WHEN")
	key := regexp.MustCompile(`[0-9]+-[a-z0-9]{20,}`).FindString(h.run("notices", "list").want(t, 0, "MESSAGE").stdout)
	h.run("notices", "show", key).want(t, 0, `"topic": "test"`, "收到这条消息")
	h.run("notices", "show", "1-x").want(t, 1, "no message")
	h.run("notices", "give-up", key).want(t, 1, "note")
	h.run("notices", "give-up", key, "--note", "by hand").want(t, 0, "is given up")
	h.run("notices", "resend", key).want(t, 0, "is tried again")
	h.run("notices", "rules").want(t, 0, "RULE")
	h.run("notices", "preview", "nothing").want(t, 1, "no rule")
	h.run("audit", "export", "--format", "jsonl").want(t, 0, "notice.test")
}

// TestNoticeRules: check-config reads the rules to their last address, time and
// condition, and tells every mistake at once (T123).
func TestNoticeRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.edit("data_centres:", `notices:
  - {name: low-stock, kind: low_stock, to: [zhangsan]}
  - {name: late, kind: query, form: SAL_SaleOrder, columns: [{field: FBillNo}], where: [{field: FDate, is: since, values: [7d]}], to: ["role:admin"]}
data_centres:`)
	h.run("check-config").want(t, 0, "is well")
	h.run("notices", "rules").want(t, 0, "low-stock", "user:zhangsan"[5:], "late")
	h.run("notices", "rules", "--json").want(t, 0, `"kind": "low_stock"`)
	h.edit("values: [7d]", "values: [lately]")
	h.edit("kind: low_stock,", "kind: low_stock, every: sometimes,")
	h.run("check-config").want(t, 2, "lately", "sometimes")
}
