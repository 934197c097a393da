package dingtalksim_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"
)

// TestRehire proves SIM-D65 for people who come back: the same userid is there
// again, and the record of the leaving stays.
func TestRehire(t *testing.T) {
	s := newSim(t)
	leavers := func() any {
		q := url.Values{
			"startTime": {"2026-09-01T00:00:00Z"}, "endTime": {"2026-12-01T00:00:00Z"}, "maxResults": {"50"}, "nextToken": {"0"},
		}
		return names(s.call("GET", "/v1.0/contact/empLeaveRecords?"+q.Encode(), nil, tokenHeader, s.token()).json(t)["records"], "userId")
	}
	s.control("DELETE", "/sim/people/zhangwei?reason=leave", nil, nil, 200)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 60121)
	if got := fmt.Sprint(leavers()); got != "[zhangwei]" {
		t.Fatalf("leavers %v", got)
	}
	s.Advance(24 * time.Hour)
	s.control("POST", "/sim/people", obj{"userid": "zhangwei", "name": "张伟", "dept_id_list": []int{102}}, nil, 201)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 0)
	if got := fmt.Sprint(leavers()); got != "[zhangwei]" {
		t.Errorf("after the return: leavers %v", got)
	}
	s.Advance(24 * time.Hour)
	s.control("DELETE", "/sim/people/zhangwei", nil, nil, 200)
	if got := fmt.Sprint(leavers()); got != "[zhangwei zhangwei]" {
		t.Errorf("after the second leaving: leavers %v", got)
	}
}
