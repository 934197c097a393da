package dingtalk_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/internal/lockedbuffer"
	"kdgate/internal/peer"
)

// These tests let the client meet the simulator over HTTP. The two share no
// code: where they disagree, one of them has misread the reference.

const (
	corpA, keyA, secretA = "dingcorpaaaa", "dingkeyaaaa", "secret-aaaa-0123456789"
	corpB, keyB, secretB = "dingcorpbbbb", "dingkeybbbb", "secret-bbbb-0123456789"
)

// town is a simulator with two organisations and the client of the first.
type town struct {
	*dingtalk.Client
	sim *dingtalksim.Server
	url string
	log *lockedbuffer.Buffer

	doors []*peer.Client
	close func() // everything; the end of the test does it too
}

func newTown(t *testing.T, change ...func(*dingtalksim.Config)) *town {
	t.Helper()
	cfg := dingtalksim.Config{QPS: -1, AddressLimit: -1, Corps: []dingtalksim.Corp{
		{
			ID: corpA, Name: "甲", Apps: []dingtalksim.App{{
				Key: keyA, Secret: secretA, AgentID: 1, Name: "Kingdee",
				HomeURL: "http://localhost:1/launch/kingdee?corpId=$CORPID$", Hosts: []string{"localhost"},
			}},
			People: []dingtalksim.Person{
				{UserID: "zhangsan", Name: "张三", JobNumber: "A001", Mobile: "13800000001", HiredDate: 1600000000000, Extension: `{"级别":"7"}`},
				{UserID: "guest", Name: "外人", External: true},
				{UserID: "faraway", Name: "远", OutOfRange: true},
			},
		},
		{
			ID: corpB, Name: "乙", Apps: []dingtalksim.App{{
				Key: keyB, Secret: secretB, AgentID: 2, Name: "Kingdee",
				HomeURL: "http://localhost:1/launch/kingdee?corpId=$CORPID$", Hosts: []string{"localhost"},
			}},
			People: []dingtalksim.Person{{UserID: "lisi", Name: "李四"}, {UserID: "zhangsan", Name: "另一个张三"}},
		},
	}}
	for _, f := range change {
		f(&cfg)
	}
	sim, err := dingtalksim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	u := &town{sim: sim, url: server.URL, log: &lockedbuffer.Buffer{}}
	u.close = sync.OnceFunc(func() {
		for _, door := range u.doors {
			door.CloseIdle()
		}
		sim.Close()
		server.Close()
	})
	t.Cleanup(u.close)
	u.Client = u.client(t, corpA, keyA, secretA, nil)
	return u
}

func (u *town) client(t *testing.T, corp, key, secret string, change func(*dingtalk.Config)) *dingtalk.Client {
	t.Helper()
	door := peer.New(peer.Config{Timeout: 2 * time.Second})
	u.doors = append(u.doors, door)
	cfg := dingtalk.Config{
		Corp: corp, AppKey: key, AppSecret: identity.NewSecret(secret), AgentID: "1",
		Endpoints: dingtalk.Endpoints{OAPI: u.url, API: u.url, Login: u.url}, Peer: door,
		Limits: dingtalk.Limits{QPS: 10_000, DirectoryPerMinute: -1}, Logger: slog.New(slog.NewTextHandler(u.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := dingtalk.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (u *town) inClientCode(t *testing.T, userid string) identity.Secret {
	t.Helper()
	text, err := u.sim.AuthCode(userid, corpA, keyA)
	if err != nil {
		t.Fatal(err)
	}
	return identity.NewSecret(text)
}

func (u *town) browserCode(t *testing.T, userid, corp string, withCorp bool) identity.Secret {
	t.Helper()
	text, err := u.sim.OAuthCode(userid, corp, keyA, withCorp)
	if err != nil {
		t.Fatal(err)
	}
	return identity.NewSecret(text)
}

func (u *town) fault(t *testing.T, f dingtalksim.Fault) {
	t.Helper()
	if _, err := u.sim.AddFault(f); err != nil {
		t.Fatal(err)
	}
}

func (u *town) calls(match string) int { return len(u.sim.Calls(match)) }

func wants(t *testing.T, err error, kind identity.Kind, code identity.Code) {
	t.Helper()
	if err == nil || identity.KindOf(err) != kind || identity.CodeOf(err) != code {
		t.Fatalf("got %v (%v %s), want %v %s", err, identity.KindOf(err), identity.CodeOf(err), kind, code)
	}
}

var ctx = context.Background()
