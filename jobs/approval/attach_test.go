package approval_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// attaching is the reimbursement with its files.
func attaching() approval.Rule {
	rule := reimburse()
	rule.Attachments = true
	return rule
}

// large is a file of two parts.
var large = bytes.Repeat([]byte("0123456789abcdef"), (3<<20)/16+1)

// withFiles is a filled-in reimbursement with two files of one name in a component
// and one in a row of its table.
func withFiles(last []byte) []dingtalksim.FormValue {
	values := form("files", "12.34", "0.01")
	values[2].Rows[0] = append(values[2].Rows[0], dingtalksim.FormValue{
		ID: "Files_2", Name: "票", Type: "DDAttachment", Files: []dingtalksim.FormFile{{Name: "行.PNG", Content: last}},
	})
	return append(values, dingtalksim.FormValue{ID: "Files_1", Name: "附件", Type: "DDAttachment", Files: []dingtalksim.FormFile{
		{Name: "发票.pdf", Content: []byte("first")}, {Name: "发票.pdf", Content: []byte("second")},
	}})
}

// attachments are the contents of the files that stand at an approval's bill.
func (r *rig) attachments(in dingtalksim.Instance) map[string]int {
	r.t.Helper()
	bill, found := r.bill(in), map[string]int{}
	for _, a := range r.king.Attachments() {
		if a.Done && a.Form == expense && a.Record == fmt.Sprint(bill.ID) && a.Number == bill.Number {
			found[a.Name+"="+string(a.Content())]++
		}
	}
	return found
}

// attachedRightly checks that each of the three files stands at the bill once,
// to the last byte.
func (r *rig) attachedRightly(in dingtalksim.Instance, last []byte) {
	r.t.Helper()
	found := r.attachments(in)
	for _, want := range []string{"发票.pdf=first", "发票.pdf=second", "行.PNG=" + string(last)} {
		if found[want] != 1 {
			r.t.Errorf("%s: %.40q stands %d times", in.ID, want, found[want])
		}
	}
	if len(found) != 3 {
		r.t.Errorf("%s: %d different files", in.ID, len(found))
	}
}

// TestAttachments: the files of a form stand at its bill, those in rows and those
// of one name too, whole, beside what F60 asks for.
func TestAttachments(t *testing.T) {
	r := start(t, 1, attaching())
	in, none := r.agreed("1001", withFiles(large)), r.agreed("1001", form("no files", "12.34", "0.01"))
	r.take(in)
	r.take(none)
	r.work()
	r.rightly(in)
	r.rightly(none)
	r.attachedRightly(in, large)
	if n := len(r.king.Attachments()); n != 3 {
		t.Errorf("%d files", n)
	}
	if n := r.calls("AttachmentUpLoad"); n != 4 { // one of two parts
		t.Errorf("%d parts", n)
	}
	plain := start(t, 1)
	in = plain.agreed("1001", withFiles([]byte("x")))
	plain.take(in)
	plain.work()
	if plain.rightly(in); len(plain.king.Attachments()) != 0 {
		t.Error("files are carried over although no rule asked for them")
	}
}

// TestAttachmentRefused: a file that cannot be carried over leaves the bill
// standing; by the rule's setting the work is dead with the reason and goes on
// when that is gone, or the comment says so.
func TestAttachmentRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(r *rig)
		mend    func(r *rig)
		file    string
		words   string
	}{
		"type":  {func(*rig) {}, func(r *rig) { r.attach.Types = []string{"exe", "pdf", "png"} }, "setup.EXE", "type"},
		"size":  {func(r *rig) { r.attach.MaxSize = 100 }, func(r *rig) { r.attach.MaxSize = 1 << 20 }, "large.pdf", "bytes"},
		"count": {func(r *rig) { r.attach.MaxMany = 3 }, func(r *rig) { r.attach.MaxMany = 4 }, "fourth.pdf", "more than 3"},
		"kingdee": {func(r *rig) {
			r.must(r.king.AddFault(kingdeesim.Fault{Match: "AttachmentUpLoad", Kind: kingdeesim.FaultErrCode, Code: 11, Text: "不允许的文件类型", After: 3}))
		}, func(*rig) {}, "last.pdf", "不允许的文件类型"},
		"dingtalk": {func(r *rig) {
			_, err := r.ding.AddFault(dingtalksim.Fault{Match: "/urls/download", Kind: "errcode", ErrCode: "userNotExist", Status: 400, After: 3})
			r.must(err)
		}, func(*rig) {}, "last.pdf", "originator has left"},
	} {
		for _, mode := range []string{approval.RefusedDead, approval.RefusedNote} {
			t.Run(name+" "+mode, func(t *testing.T) {
				rule := attaching()
				rule.OnRefused = mode
				r := start(t, 1, rule)
				tc.prepare(r)
				r.Booker = r.booker(r.queue)
				values := append(withFiles([]byte("row")), dingtalksim.FormValue{ID: "Files_3", Type: "DDAttachment", Files: []dingtalksim.FormFile{
					{Name: tc.file, Content: bytes.Repeat([]byte("x"), 1000)},
				}})
				in := r.agreed("1001", values)
				r.take(in)
				r.work()
				r.attachedRightly(in, []byte("row"))
				if mode == approval.RefusedNote {
					r.rightly(in)
					if said := r.ding.Comments(in.ID)[0].Text; r.item(in).State != jobs.Done || !strings.Contains(said, tc.file+"”未转入") {
						t.Errorf("%s: %+v", said, r.item(in))
					}
					return
				}
				if it := r.item(in); it.State != jobs.Dead || it.Tries != 1 || !strings.Contains(it.Failure.Words, "stands, without the attachment "+tc.file) || !strings.Contains(it.Failure.Words, tc.words) {
					t.Fatalf("%+v", it.Failure)
				}
				if r.bill(in).Status != "B" || len(r.ding.Comments(in.ID)) != 0 {
					t.Errorf("%+v", r.bill(in))
				}
				tc.mend(r)
				r.Booker = r.booker(r.queue)
				_, err := r.queue.Replay(t.Context(), cli, r.item(in).ID)
				r.must(err)
				r.work()
				r.rightly(in)
				if found := r.attachments(in); len(found) != 4 || found["发票.pdf=first"] != 1 {
					t.Errorf("after the replay: %d files", len(found))
				}
			})
		}
	}
}

// TestAttachmentOnce: uploads and questions of unknown outcome are looked for and
// not sent again; a file that is cut off is never finished.
func TestAttachmentOnce(t *testing.T) {
	for name, f := range map[string]kingdeesim.Fault{
		"done, 500":       {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultAfter},
		"done, cut":       {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultHang, After: 1},
		"garbled":         {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultGarbage},
		"second part":     {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultAfter, After: 1},
		"not done":        {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultReset},
		"look-up fails":   {Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultStatus, Status: 500, After: 2, Times: 3},
		"session is gone": {Match: "AttachmentUpLoad", Kind: kingdeesim.FaultLoseSession},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, 1, attaching())
			in := r.agreed("1001", withFiles(large))
			r.must(r.king.AddFault(f))
			r.take(in)
			r.work()
			r.rightly(in)
			r.attachedRightly(in, large)
		})
	}
	for _, kind := range []string{"truncate", "reset", "garbage"} {
		t.Run("download "+kind, func(t *testing.T) {
			r := start(t, 1, attaching())
			in := r.agreed("1001", withFiles(large))
			_, err := r.ding.AddFault(dingtalksim.Fault{Match: "/yundisk0/", Kind: kind, Times: 1})
			r.must(err)
			r.take(in)
			r.work()
			r.rightly(in)
			r.attachedRightly(in, large)
		})
	}
}

// TestAttachmentsUnseen: where Kingdee does not tell which files stand at a
// record the work says so; told that it never will, an upload that may have
// happened is not repeated, and a person is asked.
func TestAttachmentsUnseen(t *testing.T) {
	r := start(t, 1, attaching())
	r.king.SetSwitches(kingdeesim.Switches{AttachmentsHidden: true})
	in := r.agreed("1001", withFiles([]byte("row")))
	r.take(in)
	stop := r.pool(r.Booker, r.queue)
	r.until("it waits", func() bool { it := r.item(in); return it.State == jobs.Ready && it.Failure != nil })
	stop()
	if it := r.item(in); !strings.Contains(it.Failure.Words, "attachment.form: none") || r.bill(in).Status != "B" {
		t.Errorf("%+v", it.Failure)
	}
	r.forms.Attachment.Form = kingdee.None
	r.Booker = r.booker(r.queue)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: "AttachmentUpLoad", Kind: kingdeesim.FaultAfter, After: 1}))
	r.work()
	if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, "not known whether it stands there") {
		t.Fatalf("%+v", it.Failure)
	}
	if found := r.attachments(in); len(found) != 2 { // the second took effect
		t.Errorf("%v", found)
	}
}

// elsewhere is a fetcher whose addresses all lead to a host that nobody listed.
type elsewhere struct{ approval.Fetcher }

func (e elsewhere) Open(ctx context.Context, _ identity.Secret) (io.ReadCloser, error) {
	return e.Fetcher.Open(ctx, identity.NewSecret("http://169.254.169.254/latest/meta-data"))
}

// TestAttachmentElsewhere proves T119: an address that DingTalk's answer names is
// not called unless its host is listed, and a person is told.
func TestAttachmentElsewhere(t *testing.T) {
	r := start(t, 1, attaching())
	fetch, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{})
	r.must(err)
	r.attach.Fetcher = elsewhere{fetch}
	r.Booker = r.booker(r.queue)
	in := r.agreed("1001", withFiles([]byte("row")))
	r.take(in)
	r.work()
	if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, "169.254.169.254") || r.bill(in).Status != "B" {
		t.Errorf("%+v", it.Failure)
	}
}

// attachingPoints are the calls of the attachments at each of their four moments,
// and the commits among them from both sides.
func attachingPoints() []point {
	var list []point
	for _, at := range []string{kingdeesim.HoldHeaders, kingdeesim.HoldExecuted, kingdeesim.HoldReply, kingdeesim.HoldAfter} {
		for after := range 4 {
			list = append(list, point{route: "AttachmentUpLoad", at: at, after: after})
		}
		list = append(list, point{route: ".ExecuteBillQuery.", at: at, after: 2}, point{route: "/urls/download", at: at}, point{route: ".file", at: at})
	}
	for n := 6; n <= 12; n++ {
		for _, side := range []string{"before", "after"} {
			list = append(list, point{kill: fmt.Sprint(n, " ", side)})
		}
	}
	return list
}

// TestKilledWhileAttaching proves R30 and R31 for attachments: whoever comes after
// a replica that was killed anywhere puts each file at the bill once.
func TestKilledWhileAttaching(t *testing.T) {
	rounds := 1
	if *long {
		rounds = 10
	}
	r := start(t, 1, attaching())
	w := worker{Store: "sqlite:" + filepath.Join(t.TempDir(), "crash.db"), Rule: "attachments"}
	var all []dingtalksim.Instance
	var again []string
	for range rounds {
		for _, p := range attachingPoints() {
			in := r.agreed("1001", withFiles(large))
			all, again = append(all, dingtalksim.Instance{ID: in.ID}), append(again, in.ID)
			w.Instances = []string{in.ID}
			r.killAt(w, p)
		}
	}
	if err := <-r.spawn(worker{Store: w.Store, Rule: w.Rule, Instances: again}).ended; err != nil {
		t.Fatalf("the last replica: %v", err)
	}
	for _, in := range all {
		r.rightly(in)
		r.attachedRightly(in, large)
	}
	t.Logf("%d crashes", len(all))
}
