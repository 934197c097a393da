package audit

import (
	"context"
	"errors"
	"testing"
	"time"

	"kdgate/identity"
)

// TestPingWritesAndLeavesNoTrace: readiness may ask as often as it likes. (R4)
func TestPingWritesAndLeavesNoTrace(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 10)
	awaitAnchor(t, c)
	before := mustVerify(t, verifyConfig(c)).Records
	for range 20 {
		if err := l.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if after := mustVerify(t, verifyConfig(c)).Records; after != before {
		t.Errorf("%d records, %d before", after, before)
	}
}

// TestPingTellsThatNothingCanBeWritten: a file that another program holds, or
// that cannot be written, is found without waiting for a sign-in to fail. (R37)
func TestPingTellsThatNothingCanBeWritten(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	hold, err := openWriter(t.Context(), c.Dir+"/"+fileName)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := hold.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := l.Ping(ctx); identity.CodeOf(err) != identity.CodeAuditDown || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another writes: %v", err)
	}
	if err := errors.Join(tx.Rollback(), hold.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Ping(t.Context()); err != nil {
		t.Errorf("after it is free: %v", err)
	}
	if _, err := l.write.ExecContext(t.Context(), "PRAGMA query_only=ON"); err != nil {
		t.Fatal(err)
	}
	if err := l.Ping(t.Context()); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("read-only: %v", err)
	}
}

// TestPingSeesAForeignTip: after a failed append the end of the chain is looked
// at, and what we did not write keeps the gateway unready.
func TestPingSeesAForeignTip(t *testing.T) {
	c := setup(t)
	l := open(t, c)
	appendMany(t, l, 10)
	tamper(t, c.Dir, "DELETE FROM record WHERE id > 7")
	l.writer.doubt = true // as after a failed commit; the writer is idle
	if err := l.Ping(t.Context()); identity.CodeOf(err) != identity.CodeAuditDown {
		t.Errorf("got %v", err)
	}
}

func TestPingAfterClose(t *testing.T) {
	l := open(t, setup(t))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}
