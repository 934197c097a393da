package dingtalksim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// bigTown is a simulator with one large tenant (SIM-D68).
func bigTown(tb testing.TB, people, departments int) (*Server, string) {
	tb.Helper()
	cfg := Sample("http://gate.example.com/launch")
	cfg.QPS, cfg.AddressLimit = -1, -1
	Populate(&cfg.Corps[0], people, departments, 12)
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	rec := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/gettoken?appkey=dingkey1&appsecret=sample-secret-1", nil)
	s.ServeHTTP(rec, req)
	_, rest, _ := strings.Cut(rec.Body.String(), `"access_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	return s, token
}

func listPage(s *Server, token string, dept int64, cursor int) *httptest.ResponseRecorder {
	body := fmt.Sprintf(`{"dept_id":%d,"cursor":%d,"size":100}`, dept, cursor)
	req := httptest.NewRequest(http.MethodPost, "/topapi/v2/user/list?access_token="+token, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

// TestListingFollowsChanges: a kept list is never older than the last change of
// the department (SIM-D67).
func TestListingFollowsChanges(t *testing.T) {
	s, token := bigTown(t, 3, 1)
	const dept = 1_000_001
	has := func(userid string) bool {
		return strings.Contains(listPage(s, token, dept, 0).Body.String(), `"`+userid+`"`)
	}
	if !has("p000001") || has("late") {
		t.Fatal("the list as made")
	}
	if _, err := s.AddPerson("", Person{UserID: "late", Name: "迟", Departments: []int64{dept}}); err != nil {
		t.Fatal(err)
	}
	if !has("late") {
		t.Error("somebody who joined is missing")
	}
	if _, err := s.ChangePerson("", "late", func(p *Person) error { p.Departments = []int64{101}; return nil }); err != nil {
		t.Fatal(err)
	}
	if has("late") {
		t.Error("somebody who moved away is there")
	}
	if _, err := s.RemovePerson("", "p000001", ""); err != nil {
		t.Fatal(err)
	}
	if has("p000001") {
		t.Error("a leaver is there")
	}
}

// BenchmarkUserList serves pages of one department of 100,000.
func BenchmarkUserList(b *testing.B) {
	s, token := bigTown(b, 100_000, 1)
	size, cursor := listPage(s, token, 1_000_001, 0).Body.Len(), 0
	b.SetBytes(int64(size))
	for b.Loop() {
		listPage(s, token, 1_000_001, cursor)
		cursor = (cursor + 100) % 100_000
	}
}

// TestListItemText: what is written by hand is what the encoder would write.
func TestListItemText(t *testing.T) {
	cfg := Sample("http://gate.example.com/launch")
	Populate(&cfg.Corps[0], 5, 2, 2)
	people := append(cfg.Corps[0].People, Person{UserID: "\"<&>\\\u2028\x01", Name: "a\tb/ü", Senior: true, Enterprise: true, HideMobile: true, Avatar: "x", Boss: true, Remark: "r"})
	for _, p := range people {
		f := listItem{userFields{
			UserID: p.UserID, UnionID: p.UnionID, Name: p.Name, Avatar: p.Avatar, StateCode: p.StateCode, Mobile: p.Mobile,
			HideMobile: p.HideMobile, Telephone: p.Telephone, JobNumber: p.JobNumber, Title: p.Title, Email: p.Email,
			OrgEmail: p.OrgEmail, WorkPlace: p.WorkPlace, Remark: p.Remark, Enterprise: p.Enterprise, DeptIDs: p.Departments,
			Extension: p.Extension, HiredDate: p.HiredDate, Active: !p.Unactivated, Admin: p.Admin, Boss: p.Boss,
		}, 7, true}
		var byHand, byEncoder any
		if err := json.Unmarshal(f.append(nil), &byHand); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encode(f), &byEncoder); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(byHand, byEncoder) {
			t.Errorf("%s\n%s", f.append(nil), encode(f))
		}
	}
}
