package dingtalk

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

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
		a := readAnswer(oldHost, res)
		if err := a.body.Decode(&out); err != nil {
			b.Fatal(err)
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
