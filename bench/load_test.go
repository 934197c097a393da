package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const clientAgent = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 AliApp(DingTalk/7.6.0) com.alibaba.android.rimet/15213560 language/zh-CN"

// visitor is one browser on one keep-alive connection. It speaks HTTP/1.1 by
// hand, because a full client would cost the load more than the gateway costs.
type visitor struct {
	conn    net.Conn
	in      *bufio.Reader
	out     []byte
	host    string
	cookies map[string]string
	queued  int // times it was told to wait and come again
}

// dial opens a connection. Visitors come from a few addresses, as offices do.
func dial(addr string, office int) (*visitor, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+office%8))}
	conn, err := (&net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}).Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	return &visitor{
		conn: conn, in: bufio.NewReader(conn), host: net.JoinHostPort("localhost", port), cookies: map[string]string{},
	}, nil
}

// forget makes it a browser that has never been here.
func (v *visitor) forget() { clear(v.cookies) }

// answer is what the steps of a click look at.
type answer struct {
	status   int
	location string
	body     []byte
}

func (v *visitor) get(target string) (answer, error) { return v.send(http.MethodGet, target, "") }

// post is the sign-in page's fetch.
func (v *visitor) post(target string, form url.Values) (answer, error) {
	return v.send(http.MethodPost, target, form.Encode())
}

func (v *visitor) send(method, target, body string) (answer, error) {
	v.out = fmt.Appendf(v.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept-Language: zh-CN\r\nAccept-Encoding: gzip\r\n",
		method, target, v.host, clientAgent)
	if len(v.cookies) > 0 {
		pairs := make([]string, 0, len(v.cookies))
		for name, value := range v.cookies {
			pairs = append(pairs, name+"="+value)
		}
		v.out = fmt.Appendf(v.out, "Cookie: %s\r\n", strings.Join(pairs, "; "))
	}
	if method == http.MethodPost {
		v.out = fmt.Appendf(v.out, "Origin: http://%s\r\nSec-Fetch-Site: same-origin\r\nAccept: application/json\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n", v.host, len(body))
	}
	v.out = append(append(v.out, "\r\n"...), body...)
	if _, err := v.conn.Write(v.out); err != nil {
		return answer{}, err
	}
	res, err := http.ReadResponse(v.in, nil)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	for _, c := range res.Cookies() {
		v.cookies[c.Name] = c.Value
	}
	return answer{res.StatusCode, res.Header.Get("Location"), text}, nil
}

// refused is an answer other than the one that a good click gets.
type refused struct {
	step   string
	status int
	code   string // short code, when there was one
}

func (e *refused) Error() string { return fmt.Sprintf("%s: status %d %s", e.step, e.status, e.code) }

func refuse(step string, a answer) error {
	var said struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(a.body, &said) != nil {
		if i := bytes.Index(a.body, []byte("KD-")); i >= 0 && len(a.body) >= i+6 {
			said.Code = string(a.body[i : i+6])
		}
	}
	return &refused{step, a.status, said.Code}
}

const launchPath = "/launch/kingdee?corpId=" + corpID

// begin is the first half of a first click: the icon, and the sign-in page.
func (v *visitor) begin() (url.Values, error) {
	v.forget()
	a, err := v.get(launchPath)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/signin?") {
		return nil, refuse("launch", a)
	}
	if a, err = v.get(a.location); err != nil {
		return nil, err
	}
	state, nonce := hidden(a.body, "state"), hidden(a.body, "nonce")
	if a.status != http.StatusOK || state == "" || nonce == "" {
		return nil, refuse("page", a)
	}
	return url.Values{"state": {state}, "nonce": {nonce}, "fragment": {""}}, nil
}

// hidden is the value of a hidden input.
func hidden(page []byte, name string) string {
	_, rest, _ := bytes.Cut(page, []byte(`name="`+name+`" value="`))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// maxTries is how often the page posts one code while there is a queue.
const maxTries = 36

// finish is the second half: the code, and the way to Kingdee. Told to wait, it
// posts the same code again, as the page does.
func (v *visitor) finish(form url.Values, code string) error {
	form.Set("code", code)
	for try := 1; ; try++ {
		a, err := v.post("/signin/dingtalk", form)
		if err != nil {
			return err
		}
		var next struct {
			Location string `json:"location"`
			Retry    string `json:"retry"`
		}
		if err := json.Unmarshal(a.body, &next); err != nil {
			return refuse("code", a)
		}
		if a.status == http.StatusOK && strings.HasPrefix(next.Location, "/launch/kingdee") {
			return v.launch(next.Location)
		}
		wait, err := time.ParseDuration(next.Retry + "s")
		if err != nil || wait <= 0 || try >= maxTries {
			return refuse("code", a)
		}
		v.queued++
		later(context.Background(), wait/2+time.Duration(float64(wait)*spread(code)))
	}
}

// spread is a share from 0 to 1, another for each code, so that those who were
// told to wait do not come back in step.
func spread(code string) float64 {
	sum := sha256.Sum256([]byte(code))
	return float64(sum[0]) / 256
}

// launch is a click with a live session.
func (v *visitor) launch(target string) error {
	a, err := v.get(target)
	if err != nil {
		return err
	}
	if a.status != http.StatusSeeOther || !strings.Contains(a.location, "/K3Cloud/") {
		return refuse("launch", a)
	}
	return nil
}

// whole is a first click from the icon to Kingdee's address.
func (v *visitor) whole(code string) error {
	form, err := v.begin()
	if err != nil {
		return err
	}
	return v.finish(form, code)
}

// redirected asks the floor.
func (v *visitor) redirected(target string) (string, error) {
	a, err := v.get(target)
	if err == nil && a.status != http.StatusFound {
		err = refuse(target, a)
	}
	return a.location, err
}

// crowd does n clicks with so many visitors and gives the time of each click,
// sorted, and of all together.
func crowd(visitors []*visitor, n int, click func(v *visitor, i int) error) (each []time.Duration, all time.Duration, err error) {
	each = make([]time.Duration, n)
	var (
		next  atomic.Int64
		group sync.WaitGroup
		once  sync.Once
	)
	began := time.Now()
	for _, v := range visitors {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if failed := click(v, i); failed != nil {
					once.Do(func() { err = fmt.Errorf("click %d: %w", i, failed) })
					next.Store(int64(n))
					return
				}
				each[i] = time.Since(start)
			}
		})
	}
	group.Wait()
	all = time.Since(began)
	slices.Sort(each)
	return each, all, err
}

// at is the share of sorted times, from 0 to 1.
func at(sorted []time.Duration, share float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}
