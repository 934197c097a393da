package localapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"kdgate/identity"
	"kdgate/internal/localapi"
	"kdgate/mapping"
)

var filterAll mapping.Filter

const header = "corp,userid,data_centre,staff_number,login_user\n"

// rows is a CSV file of n people.
func rows(n int) string {
	var b strings.Builder
	b.WriteString(header)
	for i := range n {
		fmt.Fprintf(&b, "dingcorp1,user%05d,live,%05d,login%05d\n", i, i, i)
	}
	return b.String()
}

// importRows sends a file and keeps the progress that came back.
func importRows(t *testing.T, c *localapi.Client, csv string, dryRun bool) (done localapi.Import, ticks int) {
	t.Helper()
	done, err := c.Import(t.Context(), strings.NewReader(csv), dryRun, func(n, total int) {
		ticks++
		if n < 0 || n > total {
			t.Errorf("progress %d of %d", n, total)
		}
	})
	must(t, err)
	return done, ticks
}

// TestImportExportUndo walks a table's life through the door (F14).
func TestImportExportUndo(t *testing.T) {
	g := open(t)
	c := g.dial(t)
	preview, _ := importRows(t, c, rows(2500), true)
	if preview.Run != nil || preview.Plan.Create != 2500 {
		t.Fatalf("dry run: %d to create, run %v", preview.Plan.Create, preview.Run)
	}
	if page, err := c.List(t.Context(), filterAll, ""); err != nil || len(page.Entries) != 0 {
		t.Fatalf("a dry run wrote %d rows, %v", len(page.Entries), err)
	}
	done, ticks := importRows(t, c, rows(2500), false)
	if done.Run == nil || done.Run.Created != 2500 || ticks < 10 || ticks > 300 {
		t.Fatalf("run %+v with %d reports of progress", done.Run, ticks)
	}
	if all := listAll(t, c, filterAll); len(all) != 2500 || !slices.IsSorted(all) || len(slices.Compact(all)) != 2500 {
		t.Errorf("the pages hold %d rows", len(all))
	}
	if some := listAll(t, c, mapping.Filter{Text: "user00012"}); len(some) != 1 {
		t.Errorf("the filter gives %q", some)
	}
	var exported bytes.Buffer
	must(t, c.Export(t.Context(), filterAll, "csv", &exported))
	again, _ := importRows(t, c, exported.String(), true)
	if again.Plan.Same != 2500 || again.Plan.Create+again.Plan.Change+again.Plan.Refused != 0 {
		t.Errorf("an export imports as %d same, %d refused", again.Plan.Same, again.Plan.Refused)
	}
	var book bytes.Buffer
	must(t, c.Export(t.Context(), filterAll, "xlsx", &book))
	if again, _ := importRows(t, c, book.String(), true); again.Plan.Same != 2500 {
		t.Errorf("an XLSX export imports as %d same, %d refused", again.Plan.Same, again.Plan.Refused)
	}
	undone, err := c.Undo(t.Context(), done.Run.ID, nil)
	must(t, err)
	if undone.Run.State != mapping.RunUndone || len(listAll(t, c, filterAll)) != 0 {
		t.Errorf("undo left %s and %d rows", undone.Run.State, len(listAll(t, c, filterAll)))
	}
	if !slices.Contains(g.records.actions(), "mapping.import cli:root") || !slices.Contains(g.records.actions(), "mapping.export cli:root") {
		t.Error("the log does not name who did it")
	}
}

func listAll(t *testing.T, c *localapi.Client, f mapping.Filter) []string {
	t.Helper()
	var ids []string
	for cursor := ""; ; {
		page, err := c.List(t.Context(), f, cursor)
		must(t, err)
		for _, e := range page.Entries {
			ids = append(ids, e.UserID)
		}
		if cursor = page.Next; cursor == "" {
			return ids
		}
	}
}

// TestRefusedLineStopsTheImport proves T25 through the door: nothing is written,
// and the answer names line and reason.
func TestRefusedLineStopsTheImport(t *testing.T) {
	c := open(t).dial(t)
	done, _ := importRows(t, c, rows(3)+"dingcorp1,evil,live,=1+1,x\n", false)
	if done.Run != nil || done.Plan.Refused != 1 {
		t.Fatalf("run %v, %d refused", done.Run, done.Plan.Refused)
	}
	i := slices.IndexFunc(done.Plan.Rows, func(r mapping.PlanRow) bool { return r.Verdict == mapping.VerdictRefused })
	if row := done.Plan.Rows[i]; row.Line != 5 || row.Refusal.Reason != mapping.ReasonFormula || row.Refusal.Field != "staff_number" {
		t.Errorf("line %d: %v", row.Line, row.Refusal)
	}
	if left := listAll(t, c, filterAll); len(left) != 0 {
		t.Errorf("written: %q", left)
	}
}

// TestFaultsKeepTheirKind: what the table says is what the command hears.
func TestFaultsKeepTheirKind(t *testing.T) {
	c := open(t).dial(t)
	ctx := t.Context()
	_, noRun := c.Undo(ctx, "00000000-0000-7000-8000-000000000000", nil)
	_, noTable := c.Import(ctx, strings.NewReader("this is\nno table\n"), false, nil)
	_, tooLarge := c.Import(ctx, io.LimitReader(endless{}, mapping.MaxCSVBytes+1000), false, nil)
	_, badCursor := c.List(ctx, filterAll, "\x00no cursor")
	for name, got := range map[string]struct {
		err  error
		kind identity.Kind
	}{
		"no such run": {noRun, identity.NotFound}, "no table": {noTable, identity.Invalid}, "too large": {tooLarge, identity.Invalid},
		"bad cursor": {badCursor, identity.Invalid},
	} {
		fault, ok := errors.AsType[*localapi.Fault](got.err)
		if !ok || identity.KindOf(got.err) != got.kind || fault.Words == "" {
			t.Errorf("%s: %v (kind %s), want %s with words", name, got.err, identity.KindOf(got.err), got.kind)
		}
	}
}

// endless is a CSV file without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("corp,userid,data_centre\n", len(p)/24+1)), nil
}

// TestExplainTellsTheBrokenLink: asking about somebody unknown is an answer, not a failure.
func TestExplainTellsTheBrokenLink(t *testing.T) {
	c := open(t).dial(t)
	found, err := c.Explain(t.Context(), mapping.Key{DataCentre: "live", Corp: "dingcorp1", UserID: "wangwu"})
	must(t, err)
	if found.Code == "" || found.Cause == "" || found.Chain.Key.UserID != "wangwu" {
		t.Errorf("found %+v", found)
	}
}

// failing breaks in the middle of long work.
type failing struct {
	localapi.Table
	cut bool
}

var errLost = errors.New("the store went away\nin the middle")

func (f failing) ExportCSV(_ context.Context, _ mapping.Actor, w io.Writer, _ mapping.Filter, _ mapping.Progress) error {
	if _, err := io.WriteString(w, header+"dingcorp1,half,live,1,one\n"); err != nil {
		return err
	}
	return errLost
}

func (f failing) Plan(_ context.Context, _ mapping.Actor, _ *mapping.Sheet, p mapping.Progress) (*mapping.Plan, error) {
	p(50, 100)
	if f.cut {
		panic("the process dies")
	}
	return nil, identity.Fail(identity.Unavailable, identity.CodeStoreDown, "%w", errLost)
}

// TestHalfAnExportIsNoExport: the rows were sent with a good status, so the
// fault comes behind them, and the command must not call the file complete.
func TestHalfAnExportIsNoExport(t *testing.T) {
	c := open(t, func(inner localapi.Table) localapi.Table { return failing{Table: inner} }).dial(t)
	var out bytes.Buffer
	err := c.Export(t.Context(), filterAll, "csv", &out)
	if err == nil || !strings.Contains(err.Error(), "not complete") || !strings.Contains(err.Error(), "went away") {
		t.Errorf("got %v after %q", err, out.String())
	}
}

// TestImportThatBreaks: a told fault and a lost connection are different ends.
func TestImportThatBreaks(t *testing.T) {
	told := open(t, func(inner localapi.Table) localapi.Table { return failing{Table: inner} }).dial(t)
	ticks := 0
	_, err := told.Import(t.Context(), strings.NewReader(rows(1)), false, func(int, int) { ticks++ })
	fault, ok := errors.AsType[*localapi.Fault](err)
	if !ok || fault.Code != identity.CodeStoreDown || identity.KindOf(err) != identity.Unavailable || ticks != 1 {
		t.Errorf("told: %v after %d reports", err, ticks)
	}
	lost := open(t, func(inner localapi.Table) localapi.Table { return failing{Table: inner, cut: true} }).dial(t)
	_, err = lost.Import(t.Context(), strings.NewReader(rows(1)), false, nil)
	if _, ok := errors.AsType[*localapi.Fault](err); err == nil || ok || !strings.Contains(err.Error(), "stopped in the middle") {
		t.Errorf("lost: %v", err)
	}
}

// TestServe: a command that found no gateway serves itself by the same door.
func TestServe(t *testing.T) {
	g := open(t)
	cfg := localapi.Config{Table: func() localapi.Table { return g.table }, Token: identity.NewSecret("another"), Logger: slog.New(slog.DiscardHandler)}
	c, closePort, err := localapi.Serve(t.Context(), cfg, "李四")
	must(t, err)
	if done, _ := importRows(t, c, rows(1), false); done.Run == nil {
		t.Error("nothing was done")
	}
	if !slices.Contains(g.records.actions(), "mapping.import cli:李四") {
		t.Errorf("recorded %q", g.records.actions())
	}
	must(t, closePort())
	if _, err := c.List(t.Context(), filterAll, ""); err == nil {
		t.Error("the port outlived its end")
	}
}
