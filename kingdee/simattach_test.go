package kingdee_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

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
