package dingtalk

import (
	"bytes"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"kdgate/identity"
	"kdgate/internal/peer"
	"kdgate/internal/strictjson"
)

// pageOf is an answer of user/list as DingTalk gives it, some 78 KB a hundred.
func pageOf(people int, from int64, more bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"errcode":0,"errmsg":"ok","request_id":"16l4ew3d47pdp","result":{"has_more":%v,"next_cursor":%d,"list":[`, more, from+int64(people))
	for i := range people {
		if i > 0 {
			b.WriteByte(',')
		}
		n := int(from) + i
		fmt.Fprintf(&b, `{"userid":"p%06d","unionid":"0123456789abcdefghijkiEiE","name":"欧阳秀英","avatar":"https://static.dingtalk.com/media/lADPDe7s0000000000_640_640.jpg",`+
			`"state_code":"86","mobile":"137%08d","hide_mobile":false,"telephone":"010-86123456-2345","job_number":"N%06d","title":"高级工程师","email":"ouyang%06d@example.com",`+
			`"org_email":"ouyang%06d@corp.example.com","work_place":"杭州市余杭区文一西路969号","remark":"无","exclusive_account":false,"dept_id_list":[1000001,1000002],`+
			`"extension":"{\"爱好\":\"旅游\",\"年龄\":\"24\"}","hired_date":1597573616828,"active":true,"admin":false,"boss":false,"dept_order":176300000000000,"leader":false}`, n, n, n, n, n)
	}
	b.WriteString(`]}}`)
	return b.String()
}

// BenchmarkReadPage is what the client does with one page of a hundred people
// once it has the bytes: the reading of 100,000 people is a thousand of these.
func BenchmarkReadPage(b *testing.B) {
	res := peer.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, Body: []byte(pageOf(100, 0, true))}
	b.SetBytes(int64(len(res.Body)))
	b.ReportAllocs()
	for b.Loop() {
		var out memberList
		if a := readAnswer(oldHost, res, &out); !a.decoded {
			b.Fatal("the page was not read at once")
		}
		for i := range *out.Result.List {
			_ = (*out.Result.List)[i].person("dingcorp1")
		}
	}
}

// BenchmarkCheckNames is the price of the refusal of ambiguous names alone.
func BenchmarkCheckNames(b *testing.B) {
	body := []byte(pageOf(100, 0, true))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := strictjson.Check(body); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMembersRefuseDoubt: an answer that says "success" but leaves open whether
// the list is whole, or whom it means, is an error and not a shorter list.
func TestMembersRefuseDoubt(t *testing.T) {
	for name, result := range map[string]string{
		"no has_more":         `{"list":[]}`,
		"no list":             `{"has_more":false}`,
		"null list":           `{"has_more":false,"list":null}`,
		"no cursor":           `{"has_more":true,"list":[]}`,
		"cursor stands still": `{"has_more":true,"next_cursor":0,"list":[]}`,
		"cursor goes back":    `{"has_more":true,"next_cursor":-5,"list":[]}`,
		"nobody":              `{"has_more":false,"list":[{"name":"x"}]}`,
		"userid is a number":  `{"has_more":false,"list":[{"userid":5}]}`,
		"two userids":         `{"has_more":false,"list":[{"userid":"a","userId":"b"}]}`,
		"nothing":             `{}`,
	} {
		b := newBench(t)
		b.fake.on("/topapi/v2/user/list", 200, `{"errcode":0,"errmsg":"ok","result":`+result+`}`)
		var err error
		n := 0
		for page, e := range b.Members(t.Context(), 1, 0) {
			n, err = n+len(page.People), e
		}
		if err == nil || n != 0 {
			t.Errorf("%s: %d people, %v", name, n, err)
		}
	}
}

// TestStrangersRefuseDoubt: the same where every record is familiar. What is taken
// out of an answer hides nothing that is wrong with the rest.
func TestStrangersRefuseDoubt(t *testing.T) {
	for name, result := range map[string]string{
		"two lists":            `{"has_more":false,"list":[{"userid":"a"}],"list":[]}`,
		"two lists in escapes": `{"has_more":false,"list":[{"userid":"a"}],"l\u0069st":[]}`,
		"lists of two cases":   `{"has_more":false,"list":[{"userid":"a"}],"List":[{"userid":"b"}]}`,
		"two results":          `{"has_more":false,"list":[{"userid":"a"}]},"result":{"has_more":false,"list":[]}`,
		"no has_more":          `{"list":[{"userid":"a"}]}`,
		"cursor stands still":  `{"has_more":true,"next_cursor":0,"list":[{"userid":"a"}]}`,
		"no commas":            `{"has_more":false,"list":[{"userid":"a"}{"userid":"b"}]}`,
		"a comma too many":     `{"has_more":false,"list":[{"userid":"a"},]}`,
		"a number":             `{"has_more":false,"list":[{"userid":"a"},5]}`,
		"not ended":            `{"has_more":false,"list":[{"userid":"a"}]`,
		"ended twice":          `{"has_more":false,"list":[{"userid":"a"}]}}`,
		"no text behind it":    "{\"has_more\":false,\"list\":[{\"userid\":\"a\"}],\"x\":\"\xff\"}",
	} {
		b := newBench(t)
		b.fake.on("/topapi/v2/user/list", 200, `{"errcode":0,"errmsg":"ok","result":`+result+`}`)
		var err error
		n := 0
		for page, e := range b.Strangers(t.Context(), 1, 0, func(Sum) bool { return true }) {
			n, err = n+len(page.People)+len(page.Familiar), e
		}
		if err == nil || n != 0 {
			t.Errorf("%s: %d people, %v", name, n, err)
		}
	}
}

// TestMembersStop: a walk that its caller leaves calls nobody any more.
func TestMembersStop(t *testing.T) {
	b := newBench(t)
	b.fake.on("/topapi/v2/user/list", 200, pageOf(100, 0, true))
	for range b.Members(t.Context(), 1, 0) {
		break
	}
	if n := b.fake.count("/topapi/v2/user/list"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestDepartmentsEnd: circles, doubles and the school root end a walk, and a
// department that vanishes meanwhile fails it.
func TestDepartmentsEnd(t *testing.T) {
	b := newBench(t)
	b.fake.on("/topapi/v2/department/get", 200, `{"errcode":0,"result":{"dept_id":1,"name":"root"}}`)
	b.fake.on("/topapi/v2/department/listsub", 200,
		`{"errcode":0,"result":[{"dept_id":1,"name":"root"},{"dept_id":2,"name":"a","parent_id":1},{"dept_id":2,"name":"again"},{"dept_id":-7,"name":"school"}]}`)
	list, err := b.Departments(t.Context())
	if err != nil || len(list) != 2 || list[1].ID != 2 || list[1].ParentID != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	b.fake.turns("/topapi/v2/department/listsub",
		`{"errcode":0,"result":[{"dept_id":2,"name":"a","parent_id":1}]}`, `{"errcode":60003,"errmsg":"部门不存在"}`)
	if list, err := b.Departments(t.Context()); err == nil {
		t.Errorf("a vanished department gave %+v", list)
	}
	for _, result := range []string{`null`, `[{"name":"x"}]`, `[{"dept_id":0}]`, `"[{\"dept_id\":1,\"DEPT_ID\":2}]"`} {
		b.fake.on("/topapi/v2/department/listsub", 200, `{"errcode":0,"result":`+result+`}`)
		if list, err := b.Departments(t.Context()); err == nil {
			t.Errorf("%s gave %+v", result, list)
		}
	}
}

// BenchmarkMembers reads people over loopback, as a sync does, from a peer that
// answers at once; the bar is 60 MB/s.
func BenchmarkMembers(b *testing.B) {
	page := []byte(pageOf(100, 0, true))
	head, tail, _ := bytes.Cut(page, []byte(`"next_cursor":100`))
	var cursor atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		if r.URL.Path == "/v1.0/oauth2/accessToken" {
			_, _ = w.Write([]byte(`{"accessToken":"` + testToken + `","expireIn":7200}`))
			return
		}
		_, _ = fmt.Fprintf(w, `%s"next_cursor":%d%s`, head, cursor.Add(100), tail)
	}))
	defer server.Close()
	door := peer.New(peer.Config{})
	defer door.CloseIdle()
	c, err := New(Config{
		Corp: "dingcorp1", AppKey: "dingkey1", AppSecret: identity.NewSecret(testSecret), Peer: door,
		Endpoints: Endpoints{OAPI: server.URL, API: server.URL}, Limits: Limits{QPS: 1e9, DirectoryPerMinute: -1},
		Egress: NewEgress(EgressConfig{Calls: 1e9}),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(page)))
	b.ReportAllocs()
	next, stop := iter.Pull2(c.Members(b.Context(), 1, 0))
	defer stop()
	for b.Loop() {
		if page, err, ok := next(); err != nil || !ok || len(page.People) != 100 {
			b.Fatal(err, ok)
		}
	}
}

// oddPages are answers of user/list that a lenient or a hasty reader gets wrong.
var oddPages = []string{
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":[1,"2"]}]}}`,
	`{"errcode":0,"result":{"has_more":"true","next_cursor":"100","list":[{"userid":"u1","dept_id_list":"[1,2]"}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":[]}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":[1.5]}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":null}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":[1,]}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","dept_id_list":[1`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","UserID":"u2"}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":[{"userid":"u1","userid":"u2"}]}}`,
	`{"errcode":0,"result":{"has_more":false,"list":null}}`,
	`{"errcode":0,"result":{"has_more":false,"list":{"userid":"u1"}}}`,
	`{"errcode":0,"result":{}}`, // nothing of an earlier try may fill it
	`{"errcode":0}`,
	`{"errcode":0,"result":"none"}`,
	`{"errcode":"0","sub_code":"60011","result":{"list":[{"userid":"u1"}]}}`,
	`{"errcode":60011,"errmsg":"no","result":"none"}`,
	`{"errcode":{},"result":{"has_more":false,"list":[]}}`,
	`{"errcode":1,"errcode":0,"result":{"has_more":false,"list":[]}}`,
	`{"punish":"deny","result":[]}`,
	`[]`, `null`, ``, `{`,
}

// samePage fails where an answer that is read at once says anything else than
// one that is read envelope first: T5, and no refusal may be lost in a body of
// another shape.
func samePage(t *testing.T, body []byte) {
	t.Helper()
	res := peer.Response{Status: 200, Header: jsonHeader(), Body: body}
	left, flagged := memberRecords{{UserID: "left by an earlier try"}}, flag(true)
	var once, twice memberList
	once.Result.List, once.Result.HasMore = &left, &flagged
	a, b := readAnswer(oldHost, res, &once), readAnswer(oldHost, res, nil)
	if a.verdict != b.verdict || a.reason != b.reason || a.text != b.text || a.requestID != b.requestID {
		t.Fatalf("%q: %v %q at once, %v %q in two steps", body, a.verdict, a.reason, b.verdict, b.reason)
	}
	if b.verdict != answered {
		return
	}
	if err := b.body.Decode(&twice); (err == nil) != a.decoded {
		t.Fatalf("%q: read at once: %v; in two steps: %v", body, a.decoded, err)
	}
	if a.decoded && !reflect.DeepEqual(once.Result, twice.Result) {
		t.Fatalf("%q: %+v at once, %+v in two steps", body, once.Result, twice.Result)
	}
}

func TestReadAtOnce(t *testing.T) {
	for _, body := range oddPages {
		samePage(t, []byte(body))
	}
	samePage(t, []byte(pageOf(100, 0, true)))
}

// TestDepartmentIDs: ids are read as a listOf[number] is, whatever their form.
func TestDepartmentIDs(t *testing.T) {
	for _, body := range []string{`[1,2]`, `["1",2]`, `"[1,2]"`, `7`, `{}`, `[]`, `null`, `[null]`, `[1.5]`, `[1e3]`, `[[1]]`, `[1,]`, `[1`, `["x"]`, `[9223372036854775808]`} {
		var direct ids
		var general listOf[number]
		first, second := strictjson.Decode([]byte(body), &direct), strictjson.Decode([]byte(body), &general)
		if (first == nil) != (second == nil) || len(direct) != len(general) && second == nil {
			t.Errorf("%s: %v %v, and as a list of numbers %v %v", body, direct, first, general, second)
			continue
		}
		for i := range direct {
			if second == nil && direct[i] != int64(general[i]) {
				t.Errorf("%s: %v, and as a list of numbers %v", body, direct, general)
			}
		}
	}
}

// FuzzReadAtOnce is TestReadAtOnce over whatever a stranger sends.
func FuzzReadAtOnce(f *testing.F) {
	for _, body := range oddPages {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { samePage(t, body) })
}
