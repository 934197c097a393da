package dingtalk

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kdgate/identity"
)

func TestProfile(t *testing.T) {
	b := newBench(t)
	b.fake.on(pathUser, 200, `{"errcode":0,"result":{"userid":"zhangsan","unionid":"u1","name":"张三 ","job_number":"A001",
		"mobile":"13800000000","title":"会计","extension":"{\"工号\":\"A001\",\"级别\":7,\"空\":\"\"}","hired_date":1600000000000,"active":true,
		"dept_id_list":[1,2]}}`)
	got, err := b.Profile(context.Background(), "zhangsan")
	want := identity.Profile{
		Subject: identity.Subject{Corp: "dingcorp1", UserID: "zhangsan"}, UnionID: "u1", Name: "张三 ", JobNumber: "A001",
		Mobile: "13800000000", Title: "会计", Extension: map[string]string{"工号": "A001", "级别": "7"},
		HiredAt: time.UnixMilli(1600000000000), Active: true,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if sent := b.fake.sent(t, pathUser, 0); sent["userid"] != "zhangsan" {
		t.Errorf("asked for %v", sent)
	}
}

// TestProfileTolerance: flags and times may be quoted (reference 0.1), absent
// fields are not told, identities stay strict.
func TestProfileTolerance(t *testing.T) {
	for name, c := range map[string]struct {
		result string
		want   identity.Profile
		fails  bool
	}{
		"quoted":            {`{"userid":"a","hired_date":"1600000000000","active":"true"}`, identity.Profile{HiredAt: time.UnixMilli(1600000000000), Active: true}, false},
		"bare":              {`{"userid":"a"}`, identity.Profile{}, false},
		"extension broken":  {`{"userid":"a","extension":"{"}`, identity.Profile{}, false},
		"extension twice":   {`{"userid":"a","extension":"{\"k\":\"1\",\"k\":\"2\"}"}`, identity.Profile{}, false},
		"another person":    {`{"userid":"b"}`, identity.Profile{}, true},
		"other case":        {`{"userid":"A"}`, identity.Profile{}, true},
		"number as userid":  {`{"userid":1}`, identity.Profile{}, true},
		"job number number": {`{"userid":"a","job_number":7}`, identity.Profile{}, true},
		"flag nonsense":     {`{"userid":"a","active":"perhaps"}`, identity.Profile{}, true},
	} {
		b := newBench(t)
		b.fake.on(pathUser, 200, `{"errcode":"0","result":`+c.result+`}`)
		got, err := b.Profile(context.Background(), "a")
		if c.fails {
			wants(t, err, identity.Upstream, identity.CodeDingTalkDown)
			continue
		}
		c.want.Subject = identity.Subject{Corp: "dingcorp1", UserID: "a"}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

// TestProfileNotThere: asked and not there is not the same as could not ask.
func TestProfileNotThere(t *testing.T) {
	b := newBench(t)
	for _, reason := range []string{"60121", "33012", "40003"} {
		b.fake.on(pathUser, 200, `{"errcode":`+reason+`,"errmsg":"找不到该用户"}`)
		_, err := b.Profile(context.Background(), "a")
		wants(t, err, identity.NotFound, identity.CodeNotEmployee)
	}
	b.fake.on(pathUser, 200, `{"errcode":50002,"errmsg":"x"}`)
	_, err := b.Profile(context.Background(), "a")
	wants(t, err, identity.Forbidden, identity.CodeNotInScope)
	for _, userid := range []string{"", "a b", "a\n", strings.Repeat("a", 65), "\xff"} {
		_, err := b.Profile(context.Background(), userid)
		wants(t, err, identity.Invalid, identity.CodeBadRequest)
	}
}
