package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestApprovalInTheTrial proves F60 as somebody trying the program meets it: one
// request to the simulated DingTalk, and the bill stands in the simulated Kingdee
// with its number in a comment.
func TestApprovalInTheTrial(t *testing.T) {
	tr := start(t)
	res, err := http.Post(tr.workbench+"/sim/approvals", "application/json", strings.NewReader(`{"userid":"zhangsan","amounts":["12.30","0.07"],"finish":"agree"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil {
		t.Fatal(err)
	}
	late := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var bills []struct {
			FBillNo, FDocumentStatus string
			Fields                   map[string]any
		}
		var comments []struct{ Text string }
		tr.read(t, tr.kingdee+"/sim/bills?form=ER_ExpReimbursement", &bills)
		tr.read(t, tr.workbench+"/sim/comments?instance="+made.ID, &comments)
		if len(bills) == 1 && len(comments) == 1 {
			if bills[0].FDocumentStatus != "B" || bills[0].Fields["FExpAmountSum"] != "12.37" || !strings.Contains(comments[0].Text, bills[0].FBillNo) {
				t.Errorf("%+v %+v", bills, comments)
			}
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no bill: %+v %+v", bills, comments)
		}
	}
}

// read gets JSON from a control door.
func (tr *trial) read(t *testing.T, address string, into any) {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
