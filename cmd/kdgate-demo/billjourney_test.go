package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"kdgate/internal/localapi"
)

// waitingBill is one of GET /sim/bills.
type waitingBill struct {
	ID     int64  `json:"FID"`
	Number string `json:"FBillNo"`
	Status string `json:"FDocumentStatus"`
	Fields map[string]any
}

// TestBillJourney proves F60, F70 and F7 in a real browser, from end to end: an
// approval is agreed to in the simulated DingTalk, its bill stands in the simulated
// Kingdee, the work notice about it lies in the approver's DingTalk, and a click on
// it opens that very bill in Kingdee, logged in, with nothing typed.
func TestBillJourney(t *testing.T) {
	tr := start(t)
	ctx := chromium(t, clientAgent)
	do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.WaitVisible(appIcon))
	id := tr.started(t, `{"originator":"lisi","amounts":["88.05","0.95"],"reason":"客户拜访"}`)
	var bills []waitingBill
	tr.read(t, tr.kingdee+"/sim/bills?form=ER_ExpReimbursement", &bills)
	if len(bills) != 0 {
		t.Fatalf("a bill before anybody agreed: %+v", bills)
	}
	agree := `#approvals li[data-id="` + id + `"] button[value="agree"]`
	do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench"), chromedp.Click(agree), chromedp.WaitNotPresent(agree))
	within(t, 30*time.Second, "the bill is handed in", func() bool {
		tr.read(t, tr.kingdee+"/sim/bills?form=ER_ExpReimbursement", &bills)
		return len(bills) == 1 && bills[0].Status == "B"
	})
	if bills[0].Fields["FExpAmountSum"] != "89.00" || !strings.Contains(fmt.Sprint(bills[0].Fields["FCausa"]), id) {
		t.Errorf("%+v", bills[0])
	}
	client, err := localapi.Dial(t.Context(), filepath.Join(tr.data, "data"), "tester")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.TaskAct(t.Context(), localapi.TaskAct{Task: "notice.bills-waiting", Act: "run"}); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "the notice arrives", func() bool { return len(tr.inbox(t, "zhangsan")) > 0 })
	notice := tr.inbox(t, "zhangsan")[0]
	want := fmt.Sprintf("%s/launch/%s/expense/%d", tr.gateway, centreID, bills[0].ID)
	if notice.State != "received" || notice.Title != "单据待审核" || len(notice.Links) == 0 || !strings.HasPrefix(notice.Links[0].URL, want) {
		t.Fatalf("the notice is %+v, want a link to %s", notice, want)
	}
	// The workbench shows what its person received, as a card that can be clicked.
	do(t, ctx, chromedp.Navigate(tr.workbench+"/workbench?as=zhangsan"), chromedp.Click(`a[href="`+notice.Links[0].URL+`"]`))
	landedAs(t, ctx, "zhangsan")
	form, key := strings.TrimSpace(read(t, ctx, chromedp.Text("#form-id"))), strings.TrimSpace(read(t, ctx, chromedp.Text("#pk-id")))
	if form != "ER_ExpReimbursement" || key != fmt.Sprint(bills[0].ID) {
		t.Errorf("opened %q %q, want the bill %d", form, key, bills[0].ID)
	}
	shot(t, ctx, "bill-from-notice")
	historyIsClean(t, ctx)
}
