package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kdgate/internal/localapi"
)

// TestApprovalInTheTrial proves F60 as somebody trying the program meets it: one
// request to the simulated DingTalk, and the bill stands in the simulated Kingdee
// with its number in a comment; a submission of Yida, which no event tells of, by
// the next poll.
func TestApprovalInTheTrial(t *testing.T) {
	tr := start(t)
	tr.booked(t, tr.made(t, "approvals"), 1)
	tr.attached(t)
	id := tr.made(t, "yida")
	client, err := localapi.Dial(t.Context(), filepath.Join(tr.data, "data"), "tester")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.TaskAct(t.Context(), localapi.TaskAct{Task: "approvals-yida", Act: "run"}); err != nil {
		t.Fatal(err)
	}
	tr.booked(t, id, 2)
}

// made has the simulated DingTalk make a reimbursement that is agreed to, and tells
// its id.
func (tr *trial) made(t *testing.T, kind string) string {
	t.Helper()
	res, err := http.Post(tr.workbench+"/sim/"+kind, "application/json", strings.NewReader(`{"originator":"zhangsan","amounts":["12.30","0.07"],"files":[{"name":"发票.pdf","content":"JVBERg=="}],"finish":"agree"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// booked waits until a reimbursement is the last of so many bills, with the bill's
// number in its comment.
func (tr *trial) booked(t *testing.T, id string, bills int) {
	t.Helper()
	late := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var made []struct {
			FBillNo, FDocumentStatus string
			Fields                   map[string]any
		}
		var comments []struct{ Text string }
		tr.read(t, tr.kingdee+"/sim/bills?form=ER_ExpReimbursement", &made)
		tr.read(t, tr.workbench+"/sim/comments?instance="+id, &comments)
		for _, bill := range made {
			if len(made) == bills && len(comments) == 1 && strings.Contains(comments[0].Text, bill.FBillNo) && bill.FDocumentStatus == "B" && bill.Fields["FExpAmountSum"] == "12.37" {
				return
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no bill: %+v %+v", made, comments)
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

// attached checks that the approval's file stands at its bill.
func (tr *trial) attached(t *testing.T) {
	t.Helper()
	var files []struct {
		Name, Number string
		Size         int
		Done         bool
	}
	tr.read(t, tr.kingdee+"/sim/attachments", &files)
	if len(files) != 1 || files[0].Name != "发票.pdf" || files[0].Size != 4 || !files[0].Done || !strings.HasPrefix(files[0].Number, "DD-") {
		t.Errorf("files: %+v", files)
	}
}
