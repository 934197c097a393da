package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The town is the address book that directory runs read: 786 bytes a person, as
// DingTalk sends them, in pages of 100. One in twenty has another name at every
// turn, so that every run finds as many changes.
const (
	townPages   = 10 // of a department
	townPage    = 100
	townChanged = 20 // one in so many
	townFirst   = 1000
)

// town is both vendors at their cheapest: rendered once, served as bytes. What
// it believes it does not check; that is the simulators' work.
type town struct {
	people int
	pages  [2][][]byte
	turn   atomic.Int64

	mu   sync.Mutex
	kept []int8 // by person: the turn whose name Kingdee has, -1 for nobody
}

func townUser(i int) string { return fmt.Sprintf("u%06d", i) }

func townName(i, turn int) string {
	if i%townChanged == 0 && turn == 1 {
		return fmt.Sprintf("职员%06d改", i)
	}
	return fmt.Sprintf("职员%06d", i)
}

// townPerson is what DingTalk sends about a person.
func townPerson(i, turn int) string {
	return fmt.Sprintf(`{"active":true,"admin":false,"avatar":"https://static-legacy.dingtalk.com/media/lADPDgQ9rXo%06d_640_640.jpg","boss":false,`+
		`"dept_id_list":[%d],"dept_order":176294%06d,"email":"p%06d@example.com","exclusive_account":false,"extension":"{\"工号\":\"%06d\",\"成本中心\":\"财务共享中心应付组\",\"备注\":\"一二三四五六七八九十一二三四五六七八九十一二三四五六七八九十一二三四五六七\"}",`+
		`"hide_mobile":false,"hired_date":1597573616828,"job_number":"%06d","leader":false,"mobile":"139%08d","name":"%s","org_email":"p%06d@example.com",`+
		`"remark":"","state_code":"86","telephone":"","title":"高级应付会计","unionid":"z21HjQliSzpw0YWxxxxx%06d","userid":"%s","work_place":"杭州市余杭区文一西路"}`,
		i, townFirst+i/(townPages*townPage), i, i, i, i, i, townName(i, turn), i, i, townUser(i))
}

func newTown(people int) *town {
	t := &town{people: people, kept: bytes8(people, -1)}
	for turn := range t.pages {
		for first := 0; first < people; first += townPage {
			var list []string
			for i := first; i < min(first+townPage, people); i++ {
				list = append(list, townPerson(i, turn))
			}
			next, more := first%(townPages*townPage)+townPage, true
			if next == townPages*townPage || first+townPage >= people {
				more = false
			}
			t.pages[turn] = append(t.pages[turn], fmt.Appendf(nil,
				`{"errcode":0,"errmsg":"ok","result":{"has_more":%t,"list":[%s],"next_cursor":%d},"request_id":"jcm7vnmyhx4c"}`, more, strings.Join(list, ","), next))
		}
	}
	return t
}

func bytes8(n int, value int8) []int8 {
	list := make([]int8, n)
	for i := range list {
		list[i] = value
	}
	return list
}

// source is how many bytes of address book there are.
func (t *town) source() (n int64) {
	for _, page := range t.pages[0] {
		n += int64(len(page))
	}
	return n
}

// playTown serves the town until the load ends.
func playTown(ctx context.Context, text string) error {
	people, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	t := newTown(people)
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, body []byte) {
		w.Header()["Content-Type"] = []string{"application/json;charset=utf-8"}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		_, _ = w.Write(body)
	}
	mux.HandleFunc("/turn", func(w http.ResponseWriter, _ *http.Request) { say(w, strconv.AppendInt(nil, t.turn.Add(1), 10)) })
	mux.HandleFunc("/reset", func(http.ResponseWriter, *http.Request) { t.reset() })
	mux.HandleFunc("/source", func(w http.ResponseWriter, _ *http.Request) { say(w, strconv.AppendInt(nil, t.source(), 10)) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		say(w, t.answer(r.URL.Path, body))
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("ready", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// reset makes Kingdee empty and takes the first turn.
func (t *town) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = bytes8(t.people, -1)
	t.turn.Store(0)
}

func (t *town) now() int { return int(t.turn.Load() % 2) }

func (t *town) answer(path string, body []byte) []byte {
	switch path {
	case "/v1.0/oauth2/accessToken":
		return []byte(`{"accessToken":"town-token-0001","expireIn":7200}`)
	case "/auth/scopes":
		return []byte(`{"errcode":0,"errmsg":"ok","auth_user_field":[],"auth_org_scopes":{"authed_user":[],"authed_dept":[1]}}`)
	case "/topapi/user/count":
		return fmt.Appendf(nil, `{"errcode":0,"errmsg":"ok","result":{"count":%d}}`, t.people)
	case "/topapi/v2/department/get":
		return []byte(`{"errcode":0,"errmsg":"ok","result":{"dept_id":1,"name":"演示公司"}}`)
	case "/topapi/v2/department/listsub":
		return t.departments(body)
	case "/topapi/v2/user/list":
		return t.page(body)
	}
	_, service, _ := strings.Cut(path, "ServicesStub.")
	switch strings.TrimSuffix(service, ".common.kdsvc") {
	case "DynamicFormService.ExecuteBillQuery":
		return t.staff(body)
	case "DynamicFormService.BatchSave":
		return t.save(body, strings.HasPrefix(path, "/K3Cloud/"))
	case "DynamicFormService.Submit", "DynamicFormService.Audit":
		return operated(body)
	}
	return []byte(`{"LoginResultType":1,"KDSVCSessionId":"townsession0001","Message":null,"MessageCode":null}`)
}

func (t *town) departments(body []byte) []byte {
	var q struct {
		ID int `json:"dept_id"`
	}
	var list []string
	if json.Unmarshal(body, &q) == nil && q.ID == 1 {
		for i := 0; i < t.people; i += townPages * townPage {
			list = append(list, fmt.Sprintf(`{"dept_id":%d,"parent_id":1,"name":"部门%d"}`, townFirst+i/(townPages*townPage), i))
		}
	}
	return fmt.Appendf(nil, `{"errcode":0,"errmsg":"ok","result":[%s]}`, strings.Join(list, ","))
}

func (t *town) page(body []byte) []byte {
	var q struct {
		ID     int `json:"dept_id"`
		Cursor int `json:"cursor"`
	}
	n := -1
	if json.Unmarshal(body, &q) == nil {
		n = (q.ID-townFirst)*townPages + q.Cursor/townPage
	}
	if n < 0 || n >= len(t.pages[0]) || q.ID < townFirst {
		return []byte(`{"errcode":0,"errmsg":"ok","result":{"has_more":false,"list":[]}}`)
	}
	return t.pages[t.now()][n]
}

var townNumber = regexp.MustCompile(`"u([0-9]{6})"`)

// named are the people whose numbers stand in a request, in its order.
func named(body []byte) []int {
	var list []int
	for _, found := range townNumber.FindAllSubmatch(body, -1) {
		i, _ := strconv.Atoi(string(found[1]))
		list = append(list, i)
	}
	return list
}

// townID is Kingdee's internal id of a person.
func townID(i int) int { return 100000 + i }

// staff answers a look-up of numbers, in the order of their ids; a listing
// without numbers, which is about drift, finds nothing.
func (t *town) staff(body []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []byte("[")
	for _, i := range slices.Sorted(slices.Values(named(body))) {
		if turn := t.kept[i]; turn >= 0 {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = fmt.Appendf(out, `[%d,"%s","%s","A","C","139%08d","p%06d@example.com","BM%d","GW0001","2026-01-01T00:00:00",true]`,
				townID(i), townUser(i), townName(i, int(turn)), i, i, townFirst+i/(townPages*townPage))
		}
	}
	return append(out, ']')
}

// save answers a BatchSave, and keeps it unless it is the floor's.
func (t *town) save(body []byte, keep bool) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	var done []string
	for n, i := range named(body) {
		if keep {
			t.kept[i] = int8(t.now())
		}
		done = append(done, fmt.Sprintf(`{"Id":%d,"Number":"%s","DIndex":%d}`, townID(i), townUser(i), n))
	}
	return fmt.Appendf(nil, `{"Result":{"ResponseStatus":{"IsSuccess":true,"Errors":[],"SuccessEntitys":[%s],"SuccessMessages":[],"MsgCode":0}}}`, strings.Join(done, ","))
}

var townIDs = regexp.MustCompile(`"Ids":"([0-9,]*)"`)

func operated(body []byte) []byte {
	var done []string
	if found := townIDs.FindSubmatch(body); found != nil {
		for n, id := range bytes.Split(found[1], []byte(",")) {
			done = append(done, fmt.Sprintf(`{"Id":%s,"Number":"","DIndex":%d}`, id, n))
		}
	}
	return fmt.Appendf(nil, `{"Result":{"ResponseStatus":{"IsSuccess":true,"Errors":[],"SuccessEntitys":[%s],"SuccessMessages":[],"MsgCode":0}}}`, strings.Join(done, ","))
}
