package dingtalksim_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"kdgate/dingtalk/dingtalksim"
)

// names collects one member of every object in a list.
func names(list any, member string) []any {
	out := []any{}
	for _, one := range list.([]any) {
		out = append(out, one.(obj)[member])
	}
	return out
}

// TestDepartments is SIM-D57, SIM-D58 and SIM-D59 under the whole range.
func TestDepartments(t *testing.T) {
	s := newSim(t)
	top := s.result("/topapi/v2/department/listsub", obj{})
	if got := names(top, "dept_id"); !slices.Equal(got, []any{101.0, 102.0, 103.0}) {
		t.Errorf("one level of the root: %v", got)
	}
	ids := s.result("/topapi/v2/department/listsubid", obj{"dept_id": 103}).(obj)["dept_id_list"]
	if fmt.Sprint(ids) != "[104 105]" {
		t.Errorf("listsubid: %v", ids)
	}
	if leaf := s.result("/topapi/v2/department/listsub", obj{"dept_id": 104}).([]any); len(leaf) != 0 {
		t.Errorf("below a leaf: %v", leaf)
	}
	root := s.result("/topapi/v2/department/get", obj{"dept_id": 1}).(obj)
	if _, there := root["parent_id"]; there || root["name"] != "远山制造有限公司" || root["member_count"] != 10.0 || root["owning_member_count"] != 1.0 {
		t.Errorf("root: %v", root)
	}
	fin := s.result("/topapi/v2/department/get", obj{"dept_id": 101}).(obj)
	if fin["code"] != "FIN" || fin["parent_id"] != 1.0 || fmt.Sprint(fin["dept_manager_userid_list"]) != "[manager01]" {
		t.Errorf("department: %v", fin)
	}
	up := s.result("/topapi/v2/department/listparentbydept", obj{"dept_id": 104}).(obj)
	if fmt.Sprint(up["parent_id_list"]) != "[104 103 1]" {
		t.Errorf("listparentbydept: %v", up)
	}
	chains := s.result("/topapi/v2/department/listparentbyuser", obj{"userid": "wangfang"}).(obj)["parent_list"].([]any)
	if len(chains) != 3 || fmt.Sprint(chains[1].(obj)["parent_dept_id_list"]) != "[104 103 1]" {
		t.Errorf("listparentbyuser: %v", chains)
	}
	wantCode(t, s.old("/topapi/v2/department/get", obj{"dept_id": 999}), 60003)
	wantCode(t, s.old("/topapi/v2/department/get", obj{}), 40035)
	wantCode(t, s.old("/topapi/v2/department/get", obj{"dept_id": "x"}), 400002)
}

// TestPartialRange is SIM-D34, SIM-D35 and the second half of SIM-D57.
func TestPartialRange(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) {
		c.Corps[0].Apps[0].Range = &dingtalksim.Range{Departments: []int64{103}, Users: []string{"manager01"}}
	})
	if got := names(s.result("/topapi/v2/department/listsub", obj{}), "dept_id"); !slices.Equal(got, []any{103.0}) {
		t.Errorf("listsub under a range: %v", got)
	}
	ids := s.result("/topapi/v2/department/listsubid", obj{}).(obj)["dept_id_list"].([]any)
	if len(ids) != 3 {
		t.Errorf("listsubid ignores the range: %v", ids)
	}
	for _, path := range []string{"/topapi/v2/department/listsub", "/topapi/v2/department/get"} {
		wantCode(t, s.old(path, obj{"dept_id": 101}), 50004)
	}
	wantCode(t, s.old("/topapi/v2/user/list", obj{"dept_id": 101, "cursor": 0, "size": 10}), 50004)
	wantCode(t, s.old("/topapi/v2/department/listsub", obj{"dept_id": 103}), 0)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "zhangwei"}), 50002)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "lina"}), 0)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "manager01"}), 0)
	wantCode(t, s.old("/topapi/v2/user/getbymobile", obj{"mobile": "13800000002"}), 50002)
	if u := s.result("/topapi/user/listid", obj{"dept_id": 101}).(obj)["userid_list"].([]any); len(u) != 3 {
		t.Errorf("listid ignores the range: %v", u)
	}
	if n := s.result("/topapi/user/count", obj{"only_active": false}).(obj)["count"]; n != 10.0 {
		t.Errorf("count ignores the range: %v", n)
	}
	scopes := s.call("GET", "/auth/scopes?access_token="+s.token(), nil).json(t)
	org := scopes["auth_org_scopes"].(obj)
	if fmt.Sprint(org["authed_dept"], org["authed_user"]) != "[103] [manager01]" || scopes["errcode"] != 0.0 {
		t.Errorf("auth/scopes: %v", scopes)
	}
}

// TestMemberPages is SIM-D60.
func TestMemberPages(t *testing.T) {
	s := newSim(t)
	page := func(path string, dept, cursor, size any) obj {
		return s.result(path, obj{"dept_id": dept, "cursor": cursor, "size": size}).(obj)
	}
	first := page("/topapi/user/listsimple", 102, 0, 2)
	if first["has_more"] != true || first["next_cursor"] != 2.0 || fmt.Sprint(names(first["list"], "userid")) != "[zhangwei2 one]" {
		t.Errorf("first page: %v", first)
	}
	last := page("/topapi/user/listsimple", 102, first["next_cursor"], 2)
	if _, there := last["next_cursor"]; there || last["has_more"] != false || fmt.Sprint(names(last["list"], "name")) != "[𠮷田健]" {
		t.Errorf("last page: %v", last)
	}
	if past := page("/topapi/user/listsimple", 102, 50, 2); past["has_more"] != false || len(past["list"].([]any)) != 0 {
		t.Errorf("past the end: %v", past)
	}
	for _, path := range []string{"/topapi/v2/user/list", "/topapi/user/listsimple"} {
		wantCode(t, s.old(path, obj{"dept_id": 102, "cursor": 0, "size": 101}), 40069)
		wantCode(t, s.old(path, obj{"dept_id": 102, "cursor": 0, "size": 0}), 40069)
		wantCode(t, s.old(path, obj{"dept_id": 102, "cursor": -1, "size": 10}), 40068)
	}
	desc := s.result("/topapi/user/listsimple", obj{"dept_id": 102, "cursor": 0, "size": 10, "order_field": "entry_desc"}).(obj)
	if fmt.Sprint(names(desc["list"], "userid")) != "[rare one zhangwei2]" {
		t.Errorf("entry_desc: %v", desc)
	}
}

// TestSeveralDepartments is SIM-D61 and SIM-D62.
func TestSeveralDepartments(t *testing.T) {
	s := newSim(t)
	seen := 0
	for _, dept := range []int{103, 104, 105} {
		list := s.result("/topapi/v2/user/list", obj{"dept_id": dept, "cursor": 0, "size": 100}).(obj)["list"].([]any)
		for _, one := range list {
			u := one.(obj)
			if u["userid"] != "wangfang" {
				continue
			}
			seen++
			if u["leader"] != (dept == 103) || u["dept_order"] == nil {
				t.Errorf("item in %d: %v", dept, u)
			}
			for _, absent := range []string{"role_list", "manager_userid", "leader_in_dept", "senior", "real_authed", "dept_order_list"} {
				if _, there := u[absent]; there {
					t.Errorf("%s must not be in a list item", absent)
				}
			}
		}
	}
	if seen != 3 {
		t.Errorf("somebody in three departments was listed %d times", seen)
	}
}

// TestMovedWhileWalking is SIM-D67: somebody moved behind the cursor is missed.
func TestMovedWhileWalking(t *testing.T) {
	s := newSim(t)
	body := obj{"dept_id": 102, "cursor": 0, "size": 2}
	seen := names(s.result("/topapi/user/listsimple", body).(obj)["list"], "userid")
	s.control("PATCH", "/sim/people/zhangwei2", obj{"dept_id_list": []int{101}}, nil, 200)
	body["cursor"] = 2
	seen = append(seen, names(s.result("/topapi/user/listsimple", body).(obj)["list"], "userid")...)
	if slices.Contains(seen, any("rare")) {
		t.Errorf("walk saw %v; the one pushed over the edge should be missing", seen)
	}
}

// TestUserDetail is SIM-D63 and section 5.3.
func TestUserDetail(t *testing.T) {
	s := newSim(t)
	u := s.result("/topapi/v2/user/get", obj{"userid": "zhangwei", "language": "zh_CN"}).(obj)
	for name, want := range (obj{"name": "张伟", "mobile": "13800000002", "state_code": "86", "job_number": "Y002", "manager_userid": "manager01", "email": "zhangwei@example.com", "extension": `{"爱好":"围棋"}`, "active": true, "exclusive_account": false}) {
		if u[name] != want {
			t.Errorf("%s = %v, want %v", name, u[name], want)
		}
	}
	bare := s.result("/topapi/v2/user/get", obj{"userid": "wangfang"}).(obj)
	for name, v := range bare {
		if v == nil || v == "" {
			t.Errorf("%s is sent empty", name)
		}
	}
	if _, there := bare["job_number"]; there {
		t.Error("an empty job_number must be omitted")
	}
	if s.result("/topapi/v2/user/get", obj{"userid": "lina"}).(obj)["active"] != false {
		t.Error("an unactivated person is active")
	}
	s.control("PATCH", "/sim/apps/"+key1, obj{"permissions": []string{"qyapi_base", "qyapi_get_member"}}, nil, 200)
	cut := s.result("/topapi/v2/user/get", obj{"userid": "zhangwei"}).(obj)
	for _, name := range []string{"mobile", "state_code", "email", "extension"} {
		if _, there := cut[name]; there {
			t.Errorf("%s without its field permission", name)
		}
	}
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "nobody"}), 60121)
}

// TestGetByMobile is section 2.6.
func TestGetByMobile(t *testing.T) {
	s := newSim(t)
	if u := s.result("/topapi/v2/user/getbymobile", obj{"mobile": "13800000002"}).(obj); u["userid"] != "zhangwei" {
		t.Errorf("getbymobile: %v", u)
	}
	wantCode(t, s.old("/topapi/v2/user/getbymobile", obj{"mobile": "张伟"}), 40104)
	wantCode(t, s.old("/topapi/v2/user/getbymobile", obj{"mobile": "13800000009"}), 60121) // the leaver's
}

// TestSampleData is SIM-D64: the awkward people are there.
func TestSampleData(t *testing.T) {
	people := newSim(t).People()
	count := func(f func(dingtalksim.Member) string) map[string]int {
		m := map[string]int{}
		for _, p := range people {
			if p.Corp == corp1 || f(p) == p.Mobile {
				m[f(p)]++
			}
		}
		return m
	}
	jobs := count(func(m dingtalksim.Member) string { return m.JobNumber })
	if jobs["Y002"] != 2 || jobs[""] < 2 {
		t.Errorf("job numbers: %v", jobs)
	}
	if n := count(func(m dingtalksim.Member) string { return m.Name }); n["张伟"] != 2 || n["樊"] != 1 || n["陈晨 "] != 1 || n["𠮷田健"] != 1 {
		t.Errorf("names: %v", n)
	}
	if n := count(func(m dingtalksim.Member) string { return m.Mobile })["13800000001"]; n != 2 {
		t.Errorf("a mobile in both organisations: %d", n)
	}
	if !slices.ContainsFunc(people, func(m dingtalksim.Member) bool { return m.Enterprise }) {
		t.Error("no enterprise account")
	}
}

// TestLeavers is SIM-D65 and SIM-D66.
func TestLeavers(t *testing.T) {
	s := newSim(t)
	get := func(pairs ...string) reply {
		v := url.Values{"startTime": {"2026-01-01T00:00:00Z"}, "endTime": {"2026-12-01T00:00:00Z"}, "nextToken": {"0"}, "maxResults": {"50"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
			if pairs[i+1] == "" {
				v.Del(pairs[i])
			}
		}
		return s.call("GET", "/v1.0/contact/empLeaveRecords?"+v.Encode(), nil, tokenHeader, s.token())
	}
	s.control("DELETE", "/sim/people/one?reason=delete", nil, nil, 200)
	wantCode(t, s.old("/topapi/v2/user/get", obj{"userid": "one"}), 60121)
	if got := names(s.result("/topapi/user/listsimple", obj{"dept_id": 102, "cursor": 0, "size": 10}).(obj)["list"], "userid"); slices.Contains(got, any("one")) {
		t.Error("a leaver is still listed")
	}
	m := get().json(t)
	if got := names(m["records"], "userId"); fmt.Sprint(got) != "[leaver01 one]" {
		t.Errorf("leavers: %v", got)
	}
	if _, there := m["nextToken"]; there {
		t.Error("the last page has a nextToken")
	}
	rec := m["records"].([]any)[1].(obj)
	if rec["leaveReason"] != "delete" || rec["leaveTime"] != "2026-09-14T04:00:00Z" || rec["name"] != "樊" {
		t.Errorf("record: %v", rec)
	}
	first := get("maxResults", "1").json(t)
	if first["nextToken"] != "1" || fmt.Sprint(names(get("maxResults", "1", "nextToken", "1").json(t)["records"], "userId")) != "[one]" {
		t.Errorf("paging: %v", first)
	}
	for name, r := range map[string]reply{
		"too many": get("maxResults", "51"), "no size": get("maxResults", ""), "too long": get("startTime", "2025-11-01T00:00:00Z"),
		"too far back": get("startTime", "2025-01-01T00:00:00Z", "endTime", ""), "not a time": get("startTime", "yesterday"),
	} {
		t.Run(name, func(t *testing.T) { wantNew(t, r, 400, "invalidParameter.param.invalid") })
	}
	s.set("leave_empty_token", true)
	if tok, there := get().json(t)["nextToken"]; !there || tok != "" {
		t.Errorf("switched last page: %v", tok)
	}
}

// TestLargeTenant is SIM-D68: the size, and that a walk to the bottom finds
// everybody.
func TestLargeTenant(t *testing.T) {
	s := newSim(t, func(c *dingtalksim.Config) {
		dingtalksim.Populate(&c.Corps[1], 10_000, 1_200, 12)
		c.QPS, c.AddressLimit = -1, -1
	})
	tok, seen, depts, deepest := s.tokenOf(key2, secret2), map[any]bool{}, 0, 0
	var walk func(id float64, depth int)
	walk = func(id float64, depth int) {
		deepest = max(deepest, depth)
		users := s.call("POST", "/topapi/user/listid?access_token="+tok, obj{"dept_id": id}).json(t)["result"].(obj)["userid_list"].([]any)
		for _, u := range users {
			seen[u] = true
		}
		for _, sub := range names(s.call("POST", "/topapi/v2/department/listsub?access_token="+tok, obj{"dept_id": id}).json(t)["result"], "dept_id") {
			depts++
			walk(sub.(float64), depth+1)
		}
	}
	walk(1, 0)
	if len(seen) != 10_002 || depts != 1_200 || deepest != 12 {
		t.Errorf("walk found %d people, %d departments, depth %d", len(seen), depts, deepest)
	}
}
