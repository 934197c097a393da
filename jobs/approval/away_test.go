package approval_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs"
	"kdgate/jobs/approval"
	"kdgate/kingdee/kingdeesim"
)

// TestKingdeeAway proves R29 and F63 in small: while Kingdee cannot be reached
// nothing is lost and nothing is dead, and once it is back everything is booked.
func TestKingdeeAway(t *testing.T) {
	r := start(t, 20)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: "/K3Cloud/", Kind: kingdeesim.FaultStatus, Status: http.StatusServiceUnavailable, Times: -1}))
	var all []dingtalksim.Instance
	for i := range 20 {
		in := r.agreed(fmt.Sprint(1001+i), form("away", "12.34", "0.01"))
		r.take(in)
		all = append(all, in)
	}
	defer r.pool(r.Booker, r.queue)()
	r.until("one was put off", func() bool {
		page, err := r.queue.List(t.Context(), jobs.Filter{State: jobs.Ready}, "", 100)
		r.must(err)
		for _, it := range page.Items {
			if it.Waits > 0 {
				return true
			}
		}
		return false
	})
	if r.count(jobs.Dead) != 0 || len(r.king.Bills("")) != 0 {
		t.Errorf("%d dead, %d bills", r.count(jobs.Dead), len(r.king.Bills("")))
	}
	r.king.ClearFaults()
	r.idle()
	for _, in := range all {
		r.rightly(in)
	}
}

// TestAmbiguous proves R19, R33 and R34: a Save or Submit of unknown outcome is looked
// for before anything is sent again, and a failed look-up posts nothing.
func TestAmbiguous(t *testing.T) {
	for name, f := range map[string]kingdeesim.Fault{
		"save done, 500":      {Match: ".Save.", Kind: kingdeesim.FaultAfter},
		"save done, cut":      {Match: ".Save.", Kind: kingdeesim.FaultHang},
		"save not done":       {Match: ".Save.", Kind: kingdeesim.FaultReset},
		"save garbled":        {Match: ".Save.", Kind: kingdeesim.FaultGarbage},
		"submit done, 500":    {Match: ".Submit.", Kind: kingdeesim.FaultAfter},
		"submit done, cut":    {Match: ".Submit.", Kind: kingdeesim.FaultHang},
		"submit not done":     {Match: ".Submit.", Kind: kingdeesim.FaultReset},
		"look-up fails":       {Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultStatus, Status: http.StatusInternalServerError, Times: 3},
		"look-up throttled":   {Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultStatus, Status: http.StatusServiceUnavailable, Times: 2},
		"the session is lost": {Match: ".Save.", Kind: kingdeesim.FaultLoseSession},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, 1)
			in := r.agreed("1001", form(name, "12.34", "0.01"))
			r.must(r.king.AddFault(f))
			r.take(in)
			r.work()
			r.rightly(in)
			if n := len(r.king.Bills("")); n != 1 {
				t.Errorf("%d bills", n)
			}
		})
	}
}

// TestCommentOnce: a comment whose answer was lost is read before it is sent
// again, and one that DingTalk refuses leaves the bill as it is.
func TestCommentOnce(t *testing.T) {
	for kind, times := range map[string]int{"reset": 1, "truncate": 1, "empty": 1} {
		r := start(t, 1)
		in := r.agreed("1001", form(kind, "12.34", "0.01"))
		_, err := r.ding.AddFault(dingtalksim.Fault{Match: "/processInstances/comments", Kind: kind, Times: times})
		r.must(err)
		r.take(in)
		r.work()
		r.rightly(in)
		if n := len(r.ding.Calls("/processInstances/comments")); n != 1 {
			t.Errorf("%s: sent %d times", kind, n)
		}
	}
	rule := reimburse()
	rule.CommentAs = "nobody"
	r := start(t, 1, rule)
	in := r.agreed("1001", form("refused", "1"))
	r.take(in)
	r.work()
	if it := r.item(in); it.State != jobs.Dead || !strings.Contains(it.Failure.Words, "the bill stands") || r.bill(in).Status != "B" {
		t.Errorf("%+v", it)
	}
}

// TestHeldQuota: DingTalk's wish for silence pauses the kind and uses up no try.
func TestHeldQuota(t *testing.T) {
	r := start(t, 1)
	in := r.agreed("1001", form("quota", "1"))
	_, err := r.ding.AddFault(dingtalksim.Fault{Match: "GET /v1.0/workflow/processInstances", Kind: "quota"})
	r.must(err)
	r.take(in)
	defer r.pool(r.Booker, r.queue)()
	r.until("the kind is paused", func() bool {
		pause, err := r.queue.Paused(t.Context(), approval.KindBill)
		r.must(err)
		return !pause.Until.IsZero()
	})
	r.until("the item waits", func() bool { it := r.item(in); return it.State == jobs.Ready && it.Tries == 0 && it.Waits == 1 })
}

// TestKeptOut: while Kingdee does not let us in nothing is dead, and a form that
// it does not know is told soon.
func TestKeptOut(t *testing.T) {
	r := start(t, 1)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultHTMLBan, Times: -1}))
	in := r.agreed("1001", form("kept out", "12.34", "0.01"))
	r.take(in)
	stop := r.pool(r.Booker, r.queue)
	defer stop()
	r.until("it waits", func() bool { it := r.item(in); return it.Waits > 0 && it.State == jobs.Ready })
	if it := r.item(in); it.Tries != 0 || !strings.Contains(it.Failure.Words, "does not let us in") {
		t.Errorf("%+v", it)
	}
	r.king.ClearFaults()
	r.idle()
	r.rightly(in)
	r.must(r.king.AddFault(kingdeesim.Fault{Match: ".ExecuteBillQuery.", Kind: kingdeesim.FaultErrCode, Code: 9, Text: "元数据中标识为FX的字段不存在", Times: -1}))
	wrong := r.agreed("1001", form("wrong", "1"))
	r.take(wrong)
	r.until("it is dead", func() bool { return r.item(wrong).State == jobs.Dead })
}
