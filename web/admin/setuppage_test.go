package admin_test

import (
	"net/http"
	"testing"

	"kdgate/audit"
	"kdgate/internal/checkup"
	"kdgate/web/admin"
)

// F32: the set-up page shows each step as the last check-up and the log find it,
// by page and by API, and tests all of them again.
func TestSetupPage(t *testing.T) {
	h := newHouse(t)
	b := h.enter("manager01")
	b.get("/admin/setup?lang=en").has(t, http.StatusOK, `id="step-dingtalk"`, "not tested", "none")
	b.post("/admin/setup").has(t, http.StatusSeeOther)
	steps := map[checkup.Step]admin.SetupStep{}
	h.until(func() bool {
		var list []admin.SetupStep
		decode(t, b.get("/admin/api/v1/setup"), &list)
		for _, step := range list {
			steps[step.Step] = step
		}
		return steps[checkup.StepDingTalk].Status != ""
	})
	if d := steps[checkup.StepDingTalk]; d.Status != checkup.Fault || len(d.Items) != 1 || steps[checkup.StepAddress].Status != checkup.Warning ||
		steps[checkup.StepKingdee].Status != "" || steps[checkup.StepLogin].Status != "" || steps[checkup.StepStart].Status != checkup.OK {
		t.Errorf("%+v", steps)
	}
	b.get("/admin/setup?lang=zh-Hans").has(t, http.StatusOK, "服务器出口 IP：加入 203.0.113.7", "第三方系统登录授权")
	must(t, h.log.Append(t.Context(), audit.Event{Action: audit.ActionMint, Outcome: audit.OK, Actor: corp + "/zhangsan"}))
	var list []admin.SetupStep
	decode(t, h.enter("auditor01").get("/admin/api/v1/setup"), &list)
	if login := list[4]; login.Step != checkup.StepLogin || login.Status != checkup.OK || login.At.IsZero() {
		t.Errorf("%+v", login)
	}
	h.enter("auditor01").post("/admin/setup").has(t, http.StatusForbidden)
}
