package notice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/jobs/notice"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
	"kdgate/store"
)

// warehouse is a simulated Kingdee with a client of it.
type warehouse struct {
	*kingdee.Client
	t   *testing.T
	sim *kingdeesim.Server
	n   int
}

func newWarehouse(t *testing.T) *warehouse {
	t.Helper()
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "kdgate", Users: []kingdeesim.User{{Name: "kdgate", Account: "kdgate"}}})
	sim, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: "61cd78fbc6aa78", Number: "001", Name: "演示账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: "231784_Test", Secret: "0123456789abcdef0123456789abcdef", IntegrationUser: "kdgate"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(sim)
	t.Cleanup(func() { web.Close(); _ = sim.Close() })
	client, err := kingdee.New(kingdee.Config{
		ID: "live", BaseURL: web.URL + "/K3Cloud/", DBID: "61cd78fbc6aa78", AppID: "231784_Test",
		AppSecret: identity.NewSecret("0123456789abcdef0123456789abcdef"), IntegrationUser: "kdgate",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &warehouse{Client: client.Background(), t: t, sim: sim}
}

func (w *warehouse) put(form string, model map[string]any) {
	w.t.Helper()
	if _, err := w.sim.Put("", kingdeesim.Document{Form: form, Model: model}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *warehouse) material(number, name, safety string) {
	w.put("BD_MATERIAL", map[string]any{"FNumber": number, "FName": name, "FSafeStock": safety})
}

// moves adds to the stock of a material; a negative quantity takes away.
func (w *warehouse) moves(number, quantity string) {
	w.n++
	w.put("STK_Inventory", map[string]any{"FInventoryNo": fmt.Sprint("L", w.n), "FMaterialId": map[string]any{"FNumber": number}, "FBaseQty": quantity})
}

func (w *warehouse) watch() notice.Watch {
	return notice.Watch{
		Name: "low-stock", Topic: "stock", Title: "库存低于安全库存", To: to("zhangsan"), Link: "https://gate.example.com/launch/live/stock",
		Rows: func(ctx context.Context) ([]notice.Row, error) {
			levels, err := w.LowStock(ctx)
			return notice.StockRows(levels), err
		},
	}
}

// TestLowStockIsNews proves F70: what falls below its safety stock is told once,
// to the last decimal; what recovers and falls again is told again.
func TestLowStockIsNews(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝[M6](http://evil)", "10")
	w.material("M2", "螺母", "0.30")
	w.moves("M1", "9.9999999999")
	w.moves("M2", "0.1")
	w.moves("M2", "0.2") // floats would find this one
	for i, c := range []struct {
		change   func()
		news     int
		received int
	}{
		{func() {}, 1, 1},
		{func() {}, 0, 1},
		{func() { w.moves("M1", "-5") }, 0, 1},
		{func() { w.moves("M2", "-0.01") }, 1, 2},
		{func() { w.moves("M1", "50") }, 0, 2},
		{func() { w.moves("M1", "-50") }, 1, 3},
	} {
		c.change()
		n, err := r.Look(t.Context(), w.watch())
		r.must(err)
		r.through()
		if n != c.news || len(r.received("zhangsan")) != c.received {
			t.Fatalf("look %d: %d news, %d received", i, n, len(r.received("zhangsan")))
		}
	}
	first := r.received("zhangsan")[0]
	if !strings.Contains(first.Text, "9.9999999999") || len(first.Links) != 1 || strings.Contains(first.Links[0].URL, "evil") {
		t.Errorf("told as %+v", first)
	}
}

// TestLookSurvivesCrash: the memory of what was told and the notice are one
// commit; a look that fails forgets nothing and tells nothing twice.
func TestLookSurvivesCrash(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝", "10")
	for left := range 2 {
		broken := r.cfg
		broken.Store = &dying{Store: r.store, left: left}
		queue, err := jobs.New(jobs.Config{Store: broken.Store, Recorder: nobody{}, Owner: "dies", Now: r.clock.Now})
		r.must(err)
		broken.Queue = queue
		outbox, err := notice.New(broken)
		r.must(err)
		_, err = outbox.Look(t.Context(), w.watch())
		if (err == nil) != (left == 1) {
			t.Errorf("%d commits: %v", left, err)
		}
	}
	n, err := r.Look(t.Context(), w.watch())
	r.must(err)
	r.through()
	if n != 0 || len(r.received("zhangsan")) != 1 {
		t.Errorf("%d news after the crash, received %d", n, len(r.received("zhangsan")))
	}
}

// TestLookCannotAsk: what could not be asked is neither news nor gone.
func TestLookCannotAsk(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝", "10")
	_, err := r.Look(t.Context(), w.watch())
	r.must(err)
	away := w.watch()
	away.Rows = func(context.Context) ([]notice.Row, error) { return nil, unavailable() }
	if _, err := r.Look(t.Context(), away); !errors.Is(err, errAway) {
		t.Fatalf("%v", err)
	}
	n, err := r.Look(t.Context(), w.watch())
	r.must(err)
	if n != 0 {
		t.Errorf("%d told again", n)
	}
	many := w.watch()
	many.Rows = func(context.Context) ([]notice.Row, error) { return make([]notice.Row, 5001), nil }
	if _, err := r.Look(t.Context(), many); !errors.Is(err, notice.ErrTooMany) {
		t.Errorf("%v", err)
	}
}

// TestInquiry proves the other watched queries of F70: a form, fields and a
// filter of the configuration; each row links to its own record.
func TestInquiry(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝", "0")
	for _, quantity := range []string{"3", "7", "4"} {
		w.moves("M1", quantity)
	}
	q := notice.Inquiry{
		Form: "STK_Inventory", Key: "FID", Columns: []notice.Column{{Field: "FInventoryNo"}, {Field: "FBaseQty", Title: "数量"}},
		Where: []notice.Condition{{Field: "FBaseQty", Is: "<", Values: []string{"5"}}},
		Link:  func(id string) string { return "https://gate.example.com/launch/live/stock/" + id },
	}
	watch := w.watch()
	watch.Rows = func(ctx context.Context) ([]notice.Row, error) { return q.Rows(ctx, w, r.clock.Now()) }
	n, err := r.Look(t.Context(), watch)
	r.must(err)
	r.through()
	got := r.received("zhangsan")
	if n != 2 || len(got) != 1 || len(got[0].Links) != 3 || !strings.Contains(got[0].Text, "L1 · 数量 3") || strings.Contains(got[0].Text, "L2") {
		t.Errorf("%d news: %+v", n, got)
	}
	q.Where[0].Values = []string{"5; drop table"}
	if _, err := q.Rows(t.Context(), w, r.clock.Now()); !errors.Is(err, notice.ErrCondition) {
		t.Errorf("%v", err)
	}
}

// TestDigest proves F72: sums to the cent, red for a loss and blue for a profit,
// bars by size, once a day.
func TestDigest(t *testing.T) {
	r, w := newRig(t), newWarehouse(t)
	w.material("M1", "螺丝", "0")
	for _, quantity := range []string{"0.1", "0.2", "1234567.5"} {
		w.moves("M1", quantity)
	}
	d := notice.Digest{
		Name: "daily", Title: "经营日报", To: to("zhangsan"), Sensitive: true, Total: "利润",
		Figures: []notice.Figure{
			{Title: "收入", Form: "STK_Inventory", Key: "FID", Field: "FBaseQty"},
			{Title: "支出", Form: "STK_Inventory", Key: "FID", Field: "FBaseQty", Cost: true, Where: []notice.Condition{{Field: "FBaseQty", Is: ">", Values: []string{"1"}}}},
		},
	}
	for range 2 {
		r.must(r.TellDigest(t.Context(), d, w))
	}
	r.through()
	got := r.received("zhangsan")
	if len(got) != 1 {
		t.Fatalf("received %+v", got)
	}
	for _, want := range []string{"#1565C0>1,234,567.80<", "#C62828>-1,234,567.50<", "#1565C0>0.30<", "▇▇▇▇▇▇▇▇▇▇▇▇<"} {
		if !strings.Contains(got[0].Text, want) {
			t.Errorf("no %s in %s", want, got[0].Text)
		}
	}
	d.To = to("robot:ops")
	if err := r.TellDigest(t.Context(), d, w); !errors.Is(err, notice.ErrSensitive) {
		t.Errorf("figures to a group: %v (F73)", err)
	}
}

// TestDeadLettersAndMorning proves the alerts of F63 and F72.
func TestDeadLettersAndMorning(t *testing.T) {
	r := newRig(t)
	a := notice.Alarm{Name: "dead", To: to("zhangsan"), Fallbacks: to("robot:ops"), Link: "https://gate.example.com/admin/jobs"}
	kill := func(kind, key string) {
		_, _, err := r.queue.Add(t.Context(), jobs.Draft{ID: jobs.ID{Kind: kind, Key: key}})
		r.must(err)
		taken, err := r.queue.Take(t.Context(), kind, 1)
		r.must(err)
		_, err = taken.Work[0].Fail(t.Context(), jobs.Permanent(jobs.Explain(errors.New("secret cause"), "金额不对")), jobs.Retry{})
		r.must(err)
	}
	kill("bill", "1")
	kill("bill", "2")
	kill(notice.Kind, "3") // a notice that could not be delivered: no notice about it
	n, err := r.DeadLetters(t.Context(), a)
	r.must(err)
	again, err := r.DeadLetters(t.Context(), a)
	r.must(err)
	r.through()
	got := r.received("zhangsan")
	if n != 2 || again != 0 || len(got) != 1 || !strings.Contains(got[0].Text, "bill：金额不对 × **2**") || strings.Contains(got[0].Text, "secret") {
		t.Fatalf("%d, then %d: %+v", n, again, got)
	}
	for range 2 {
		r.must(r.Morning(t.Context(), a, []notice.Trouble{{"signin KD-203", 4}, {"signin KD-111", 9}}))
	}
	r.through()
	got = r.received("zhangsan")
	if len(got) != 2 || !strings.Contains(got[1].Text, "bill：**2** 条失败待处理") || strings.Index(got[1].Text, "KD-111") > strings.Index(got[1].Text, "KD-203") {
		t.Errorf("the digest says %+v", got[len(got)-1])
	}
	r.clock.Advance(24 * time.Hour)
	quiet := newRig(t)
	quiet.must(quiet.Morning(t.Context(), a, nil))
	quiet.through()
	if got := quiet.received("zhangsan"); len(got) != 1 || !strings.Contains(got[0].Text, "一切正常") {
		t.Errorf("a quiet morning: %+v", got)
	}
}

// TestDesk proves the card of F11 and the leaver notice of F72; what people
// wrote about themselves is no Markdown (T102).
func TestDesk(t *testing.T) {
	r := newRig(t)
	d := &notice.Desk{Outbox: r.Outbox, Base: "https://gate.example.com", Admins: to("role:mapping-admin"), Leavers: to("robot:ops")}
	q := notice.AccessRequest{
		ID: "r1", Who: identity.Subject{Corp: corp, UserID: "zhangsan"}, Name: "张三](http://evil)", DataCentre: "live", Missing: "没有登录用户", At: r.clock.Now(),
	}
	for range 2 {
		r.must(d.AccessRequested(t.Context(), q))
	}
	r.work() // at once
	card := r.received("wangwu")
	if len(card) != 1 || len(card[0].Links) != 1 || card[0].Links[0].URL != "https://gate.example.com/admin/requests" || !strings.Contains(card[0].Text, "没有登录用户") {
		t.Fatalf("the card is %+v", card)
	}
	r.must(d.AccessAnswered(t.Context(), q, true, ""))
	r.work()
	if got := r.received("zhangsan"); len(got) != 1 || got[0].Links[0].URL != "https://gate.example.com/launch/live" {
		t.Errorf("the person got %+v", got)
	}
	left := notice.Leaver{Who: q.Who, Name: "张三", Left: r.clock.Now(), Closed: r.clock.Now().Add(3 * time.Second)}
	for range 2 {
		r.must(d.Left(t.Context(), left))
	}
	r.through()
	if got := r.group(); len(got) != 1 || !strings.Contains(got[0].Text, "12:00:03") {
		t.Errorf("the group has %+v", got)
	}
	d.SensitiveLeavers = true
	left.Left = left.Left.AddDate(0, 0, 1)
	if err := d.Left(t.Context(), left); !errors.Is(err, notice.ErrSensitive) {
		t.Errorf("%v", err)
	}
}

// TestManyLeavers proves F71 and F72: a run that finds many leavers does not fill the
// group, nor use up the robot's minute, and each of them is told of once.
func TestManyLeavers(t *testing.T) {
	const leavers = 21
	r := newRig(t)
	d := &notice.Desk{Outbox: r.Outbox, Base: "https://gate.example.com", Leavers: to("robot:ops")}
	for i := range leavers {
		userid := fmt.Sprintf("leaver%02d", i)
		r.must(d.Left(t.Context(), notice.Leaver{
			Who: identity.Subject{Corp: corp, UserID: userid}, Name: "离职员工" + strconv.Itoa(i), Left: r.clock.Now(), Closed: r.clock.Now(),
		}))
		r.clock.Advance(100 * time.Millisecond)
	}
	r.through()
	group := r.group()
	if len(group) > 2 {
		t.Errorf("%d messages for %d leavers of one run", len(group), leavers)
	}
	for i := range leavers {
		name, told := fmt.Sprintf("（leaver%02d）", i), 0
		for _, m := range group {
			told += strings.Count(m.Text, name)
		}
		if told != 1 {
			t.Errorf("%s is told of %d times", name, told)
		}
	}
	for _, d := range r.deliveries() {
		if d.State != notice.Delivered && d.State != notice.Merged {
			t.Errorf("%+v", d)
		}
	}
}

// TestRobotOfTheReleaseBefore proves R54: a letter to a robot that a replica of the
// release before has sent, without taking it off those that wait, is not told again.
func TestRobotOfTheReleaseBefore(t *testing.T) {
	r := newRig(t)
	r.send(stock("told", "robot:ops"))
	waiting, err := r.store.Scan(t.Context(), "notice/wait/", "", 10)
	r.must(err)
	r.through()
	for _, entry := range waiting {
		r.must(r.store.Commit(t.Context(), store.Put(entry.Key, entry.Value)))
	}
	r.send(stock("new", "robot:ops"))
	r.through()
	if got := r.group(); len(waiting) != 1 || len(got) != 2 || strings.Contains(got[0].Title+got[1].Title, "条通知") {
		t.Errorf("%d waited, the group has %+v", len(waiting), got)
	}
	if left, err := r.store.Scan(t.Context(), "notice/wait/", "", 10); err != nil || len(left) != 0 {
		t.Errorf("%d still wait: %v", len(left), err)
	}
}
