package kingdee_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// TestFindAttachments lists what stands at one record: by alias where files share
// a name, nothing that is not whole, and no silence where Kingdee does not answer.
func TestFindAttachments(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	var ids []string
	for _, number := range []string{"DD-F", "DD-G"} {
		bill, err := c.SaveBill(t.Context(), expense, reimbursement(number, "p"))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, bill.ID)
		for _, alias := range []string{"", number + "-1"} {
			if _, err := c.Attach(t.Context(), kingdee.Attachment{Form: expense, RecordID: bill.ID, Number: number, Name: "发票.pdf", Alias: alias}, strings.NewReader("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := io.MultiReader(bytes.NewReader(make([]byte, 4<<20)), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := c.Attach(t.Context(), kingdee.Attachment{Form: expense, RecordID: ids[0], Number: "DD-F", Name: "half.pdf"}, broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a file that breaks off: %v", err)
	}
	if last := s.sim.Attachments()[4]; last.Size == 0 || last.Done {
		t.Errorf("the half that was sent: %+v", last)
	}
	list, err := c.FindAttachments(t.Context(), expense, ids[0])
	if want := []kingdee.Filed{{Name: "发票.pdf", Alias: "发票.pdf"}, {Name: "发票.pdf", Alias: "DD-F-1"}}; err != nil || !slices.Equal(list, want) {
		t.Errorf("%v %v", list, err)
	}
	if list, err := c.FindAttachments(t.Context(), expense, "77"); err != nil || len(list) != 0 {
		t.Errorf("%v %v", list, err)
	}
	s.sim.SetSwitches(kingdeesim.Switches{AttachmentsHidden: true})
	if _, err := c.FindAttachments(t.Context(), expense, ids[0]); err == nil {
		t.Error("a question that Kingdee cannot answer has an answer")
	}
}

// TestAttach uploads files of no part, one part and several (SIM-K74).
func TestAttach(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil).Background()
	bill, err := c.SaveBill(t.Context(), expense, reimbursement("DD-F", "p"))
	if err != nil {
		t.Fatal(err)
	}
	to := kingdee.Attachment{Form: expense, RecordID: bill.ID, Number: bill.Number, Name: "发票.pdf"}
	for _, size := range []int{0, 1, 3 << 20, 7 << 20} {
		id, err := c.Attach(t.Context(), to, bytes.NewReader(make([]byte, size)))
		if err != nil {
			t.Fatal(err)
		}
		all := s.sim.Attachments()
		if last := all[len(all)-1]; last.FileID != id || last.Size != size || !last.Done || last.Number != "DD-F" || last.Name != "发票.pdf" {
			t.Errorf("%d bytes: %+v", size, last)
		}
	}
	if err := s.sim.AddFault(kingdeesim.Fault{Match: "AttachmentUpLoad", Kind: kingdeesim.FaultAfter, After: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Attach(t.Context(), to, bytes.NewReader(make([]byte, 7<<20))); !errors.Is(err, kingdee.ErrAmbiguous) {
		t.Errorf("no answer to the second part: %v", err)
	}
	if _, err := c.Attach(t.Context(), to, iotest.ErrReader(io.ErrClosedPipe)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("unreadable file: %v", err)
	}
	to.RecordID = "77"
	if _, err := c.Attach(t.Context(), to, bytes.NewReader(nil)); refusal(err) == nil {
		t.Errorf("no such bill: %v", err)
	}
	to.Name = "a\nb"
	if _, err := c.Attach(t.Context(), to, bytes.NewReader(nil)); identity.KindOf(err) != identity.Invalid {
		t.Errorf("file name: %v", err)
	}
}
