package dingtalk

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// sent is a request as it is on the wire, with the values that are new each time
// taken out.
func sent(t *testing.T, r *http.Request) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	query := r.URL.Query()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		names = append(names, name+"="+strings.Join(query[name], "|"))
	}
	text := r.Method + " " + r.URL.Path + "?" + strings.Join(names, "&")
	for _, name := range []string{"Content-Type", "X-Acs-Dingtalk-Access-Token", "Authorization"} {
		if value := r.Header.Get(name); value != "" {
			text += " " + name + ":" + value
		}
	}
	if r.Header.Get("Accept") != "application/json" {
		text += " Accept:" + r.Header.Get("Accept")
	}
	if len(body) == 0 {
		return text
	}
	var members any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&members); err != nil {
		t.Fatalf("%s: %q: %v", text, body, err)
	}
	sorted, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text + " " + string(sorted)
}

// drain walks a sequence; whether it ends well does not matter here.
func drain[T any](walk iter.Seq2[T, error]) {
	for range walk {
	}
}

// TestRequests holds every call to what the reference says is on the wire: method,
// path, query, where the token goes, the content type, the names and types of all
// members. The peer here knows nothing; only what it was sent counts.
func TestRequests(t *testing.T) {
	const (
		oldToken = "access_token=T"
		ctype    = " Content-Type:application/json"
		newToken = " X-Acs-Dingtalk-Access-Token:T"
		people   = `"language":"zh_CN"`
	)
	from := time.UnixMilli(1_789_000_000_000)
	code := identity.NewSecret("code1")
	for name, c := range map[string]struct {
		call func(context.Context, *Client)
		want []string // after the token call
	}{
		"2.5 in-client code": {
			func(ctx context.Context, c *Client) { _, _ = c.InClient(ctx, code) },
			[]string{"POST /topapi/v2/user/getuserinfo?" + oldToken + ctype + ` {"code":"code1"}`},
		},
		"3.3 and 3.4 browser": {
			func(ctx context.Context, c *Client) { _, _ = c.Browser(ctx, code) },
			[]string{
				"POST /v1.0/oauth2/userAccessToken?" + ctype + ` {"clientId":"dingkey1","clientSecret":"S","code":"code1","grantType":"authorization_code"}`,
				"GET /v1.0/contact/users/me? X-Acs-Dingtalk-Access-Token:U",
				"POST /topapi/user/getbyunionid?" + oldToken + ctype + ` {"unionid":"union1"}`,
			},
		},
		"4 ticket": {
			func(ctx context.Context, c *Client) { _, _ = c.PageConfig(ctx, "https://g/") },
			[]string{"POST /v1.0/oauth2/jsapiTickets?" + newToken},
		},
		"5.1 departments": {
			func(ctx context.Context, c *Client) { _, _ = c.children(ctx, 1) },
			[]string{"POST /topapi/v2/department/listsub?" + oldToken + ctype + ` {"dept_id":1,` + people + `}`},
		},
		"5.1 department": {
			func(ctx context.Context, c *Client) { _, _ = c.Department(ctx, 7) },
			[]string{"POST /topapi/v2/department/get?" + oldToken + ctype + ` {"dept_id":7,` + people + `}`},
		},
		"5.2 members": {
			func(ctx context.Context, c *Client) { drain(c.Members(ctx, 7, 0)) },
			[]string{"POST /topapi/v2/user/list?" + oldToken + ctype + ` {"contain_access_limit":true,"cursor":0,"dept_id":7,` + people + `,"order_field":"entry_asc","size":100}`},
		},
		"5.2 ids": {
			func(ctx context.Context, c *Client) { _, _ = c.MemberIDs(ctx, 7) },
			[]string{"POST /topapi/user/listid?" + oldToken + ctype + ` {"dept_id":7}`},
		},
		"5.2 count": {
			func(ctx context.Context, c *Client) { _, _ = c.Headcount(ctx, true) },
			[]string{"POST /topapi/user/count?" + oldToken + ctype + ` {"only_active":true}`},
		},
		"5.3 person": {
			func(ctx context.Context, c *Client) { _, _ = c.Person(ctx, "u1") },
			[]string{"POST /topapi/v2/user/get?" + oldToken + ctype + ` {` + people + `,"userid":"u1"}`},
		},
		"5.3 create": {
			func(ctx context.Context, c *Client) {
				_ = c.CreatePerson(ctx, PersonDraft{UserID: "u1", Name: "N", Mobile: "1", Departments: []int64{1, 2}, HiredAt: from})
			},
			[]string{"POST /topapi/v2/user/create?" + oldToken + ctype + ` {"dept_id_list":"1,2","hired_date":1789000000000,"mobile":"1","name":"N","userid":"u1"}`},
		},
		"5.4 leavers": {
			func(ctx context.Context, c *Client) { drain(c.LeaveRecords(ctx, from)) },
			[]string{"GET /v1.0/contact/empLeaveRecords?endTime=2027-01-15T08:00:00Z&maxResults=50&nextToken=0&startTime=2026-09-10T00:26:40Z" + newToken},
		},
		"5.6 range": {
			func(ctx context.Context, c *Client) { _, _ = c.Scopes(ctx) },
			[]string{"GET /auth/scopes?" + oldToken},
		},
		"6.4 failed events": {
			func(ctx context.Context, c *Client) { _, _, _ = c.FailedEvents(ctx) },
			[]string{"GET /call_back/get_call_back_failed_result?" + oldToken},
		},
		"6.6 stream": {
			func(ctx context.Context, c *Client) { _, _ = c.Stream(StreamConfig{}).ticket(ctx) },
			[]string{"POST /v1.0/gateway/connections/open?" + ctype + ` {"clientId":"dingkey1","clientSecret":"S","subscriptions":[{"topic":"*","type":"EVENT"}],"ua":"kdgate-sdk-go/1"}`},
		},
		"7.1 approval": {
			func(ctx context.Context, c *Client) { _, _ = c.Instance(ctx, "i_1") },
			[]string{"GET /v1.0/workflow/processInstances?processInstanceId=i_1" + newToken},
		},
		"7.4 listing to a time": {
			func(ctx context.Context, c *Client) {
				drain(c.InstanceIDs(ctx, InstanceQuery{Process: "PROC-1", From: from, To: from.Add(time.Hour), Statuses: []string{"RUNNING"}}))
			},
			[]string{"POST /v1.0/workflow/processes/instanceIds/query?" + ctype + newToken + ` {"endTime":1789003600000,"maxResults":20,"nextToken":0,"processCode":"PROC-1","startTime":1789000000000,"statuses":["RUNNING"]}`},
		},
		"7.4 listing to now": {
			func(ctx context.Context, c *Client) {
				drain(c.InstanceIDs(ctx, InstanceQuery{Process: "PROC-1", From: c.now().Add(-time.Hour)}))
			},
			[]string{"POST /v1.0/workflow/processes/instanceIds/query?" + ctype + newToken + ` {"maxResults":20,"nextToken":0,"processCode":"PROC-1","startTime":1799996400000}`},
		},
		"7.3 file": {
			func(ctx context.Context, c *Client) { _, _ = c.FileURL(ctx, "i_1", "26748000001") },
			[]string{"POST /v1.0/workflow/processInstances/spaces/files/urls/download?" + ctype + newToken + ` {"fileId":"26748000001","processInstanceId":"i_1"}`},
		},
		"7.6 Yida": {
			func(ctx context.Context, c *Client) {
				y, err := c.Yida(YidaApp{App: "APP_1", SystemToken: identity.NewSecret("K"), Reader: "u1"})
				if err == nil {
					_, _ = y.page(ctx, YidaForm{ID: "FORM-1"}, span{from, from}, 2, 100)
					_, _ = y.Instance(ctx, YidaForm{ID: "FORM-1"}, "i-1")
					_ = y.Remark(ctx, "i-1", "单据 1", "u2")
				}
			},
			[]string{
				"POST /v2.0/yida/processes/instances?pageNumber=2&pageSize=100" + ctype + newToken + ` {"appType":"APP_1","formUuid":"FORM-1","language":"zh_CN","modifiedFromTimeGMT":"` + from.Format(time.DateOnly) + `","modifiedToTimeGMT":"` + from.Format(time.DateOnly) + `","orderConfigJson":"{\"gmt_create\":\"+\"}","systemToken":"K","userId":"u1"}`,
				"GET /v2.0/yida/processes/instancesInfos/i-1?appType=APP_1&formUuid=FORM-1&language=zh_CN&systemToken=K&userId=u1" + newToken,
				"POST /v1.0/yida/forms/remarks?" + ctype + newToken + ` {"appType":"APP_1","content":"单据 1","formInstanceId":"i-1","language":"zh_CN","systemToken":"K","userId":"u2"}`,
			},
		},
		"6.2 old register call": {
			func(ctx context.Context, c *Client) {
				_ = c.RegisterCallback(ctx, Registration{URL: "https://g/cb", Events: []string{"user_add_org"}, Token: identity.NewSecret("t"), AESKey: identity.NewSecret("k")})
			},
			[]string{"POST /call_back/register_call_back?" + oldToken + ctype + ` {"aes_key":"k","call_back_tag":["user_add_org"],"token":"t","url":"https://g/cb"}`},
		},
		"7.5 comment": {
			func(ctx context.Context, c *Client) { _ = c.Comment(ctx, "i_1", "单据 1", "u1") },
			[]string{"POST /v1.0/workflow/processInstances/comments?" + ctype + newToken + ` {"commentUserId":"u1","processInstanceId":"i_1","text":"单据 1"}`},
		},
		"8.1 notification": {
			func(ctx context.Context, c *Client) {
				_, _ = c.SendWork(ctx, Message{Users: []string{"u1", "u2"}, Departments: []int64{3}, Title: "T", Text: "X"})
			},
			[]string{"POST /topapi/message/corpconversation/asyncsend_v2?" + oldToken + ctype + ` {"agent_id":4711,"dept_id_list":"3","msg":{"markdown":{"text":"X","title":"T"},"msgtype":"markdown"},"to_all_user":false,"userid_list":"u1,u2"}`},
		},
		"8.1 card": {
			func(ctx context.Context, c *Client) {
				_, _ = c.SendWork(ctx, Message{Users: []string{"u1"}, Title: "T", Text: "X", Buttons: []Button{{"A", "https://a"}, {"B", "https://b"}}})
			},
			[]string{"POST /topapi/message/corpconversation/asyncsend_v2?" + oldToken + ctype + ` {"agent_id":4711,"msg":{"action_card":{"btn_json_list":[{"action_url":"https://a","title":"A"},{"action_url":"https://b","title":"B"}],"btn_orientation":"0","markdown":"X","title":"T"},"msgtype":"action_card"},"to_all_user":false,"userid_list":"u1"}`},
		},
		"8.1 result, progress, recall": {
			func(ctx context.Context, c *Client) {
				_, _ = c.SendResult(ctx, 9)
				_, _ = c.SendDone(ctx, 9)
				_ = c.Recall(ctx, 9)
			},
			[]string{
				"POST /topapi/message/corpconversation/getsendresult?" + oldToken + ctype + ` {"agent_id":4711,"task_id":9}`,
				"POST /topapi/message/corpconversation/getsendprogress?" + oldToken + ctype + ` {"agent_id":4711,"task_id":9}`,
				"POST /topapi/message/corpconversation/recall?" + oldToken + ctype + ` {"agent_id":4711,"msg_task_id":9}`,
			},
		},
		"8.2 robot": {
			func(ctx context.Context, c *Client) {
				r, err := c.Robot(RobotConfig{Token: identity.NewSecret("R")})
				if err == nil {
					_ = r.Send(ctx, RobotMessage{ID: "m1", Title: "T", Text: "X", Buttons: []Button{{"A", "https://a"}}})
				}
			},
			[]string{"POST /robot/send?access_token=R" + ctype + ` {"actionCard":{"btnOrientation":"0","btns":[{"actionURL":"https://a","title":"A"}],"text":"X","title":"T"},"msgUuid":"m1","msgtype":"actionCard"}`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			wire := newTap(t)
			c.call(t.Context(), wire.client(t, TokenAccessToken))
			want := slices.Clone(c.want)
			if all := strings.Join(want, " "); strings.Contains(all, oldToken) || strings.Contains(all, newToken) {
				want = append(want, "POST /v1.0/oauth2/accessToken?"+ctype+` {"appKey":"dingkey1","appSecret":"S"}`)
			}
			for _, one := range want {
				if !slices.Contains(wire.came, one) {
					t.Errorf("was not sent:\n%s", one)
				}
			}
			for _, one := range wire.came {
				if !slices.Contains(want, one) {
					t.Errorf("was sent:\n%s", one)
				}
			}
		})
	}
}

// tap is a peer that writes down what it is sent, and says yes to everything.
type tap struct {
	*httptest.Server
	came []string
}

func newTap(t *testing.T) *tap {
	t.Helper()
	w := &tap{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, r *http.Request) {
		w.came = append(w.came, sent(t, r)) // calls come one after another here
		answer := `{"errcode":0,"errmsg":"ok","records":[],"failed_list":[],"result":{"has_more":false,"list":[],"userid":"u1","contact_type":0}}`
		switch {
		case strings.HasSuffix(r.URL.Path, "/oauth2/accessToken"):
			answer = `{"accessToken":"T","expireIn":7200}`
		case strings.HasSuffix(r.URL.Path, "/userAccessToken"):
			answer = `{"accessToken":"U","refreshToken":"F","expireIn":7200,"corpId":"dingcorp1"}`
		case strings.HasSuffix(r.URL.Path, "/users/me"):
			answer = `{"nick":"N","openId":"o","unionId":"union1"}`
		case strings.HasPrefix(r.URL.Path, "/v1.0/"), strings.HasPrefix(r.URL.Path, "/v2.0/"):
			answer = `{"jsapiTicket":"J","expireIn":7200,"records":[],"result":{"list":[]},"success":true}`
		}
		res.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(res, answer)
	}))
	t.Cleanup(w.Close)
	return w
}

// TestTokenRequests is TestRequests for the three token calls of 1.1: one is all in
// the query, one in camelCase, one in snake_case.
func TestTokenRequests(t *testing.T) {
	for call, want := range map[TokenCall]string{
		TokenGetToken:    "GET /gettoken?appkey=dingkey1&appsecret=S",
		TokenAccessToken: `POST /v1.0/oauth2/accessToken? Content-Type:application/json {"appKey":"dingkey1","appSecret":"S"}`,
		TokenCorp:        `POST /v1.0/oauth2/dingcorp1/token? Content-Type:application/json {"client_id":"dingkey1","client_secret":"S","grant_type":"client_credentials"}`,
	} {
		wire := newTap(t)
		_, _, _ = wire.client(t, call).fetchToken(t.Context())
		if len(wire.came) == 0 || wire.came[0] != want {
			t.Errorf("%s: sent %q, want %q", call, wire.came, want)
		}
	}
}

func (w *tap) client(t *testing.T, call TokenCall) *Client {
	t.Helper()
	door := peer.New(peer.Config{})
	t.Cleanup(door.CloseIdle)
	client, err := New(Config{
		Corp: "dingcorp1", AppKey: "dingkey1", AppSecret: identity.NewSecret("S"), AgentID: "4711",
		Endpoints: Endpoints{OAPI: w.URL, API: w.URL, Login: w.URL}, Peer: door, Limits: Limits{QPS: 10_000}, TokenCall: call, Now: newClock().Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
