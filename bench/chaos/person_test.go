package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

const (
	clientAgent  = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36 AliApp(DingTalk/7.6.0) com.alibaba.android.rimet/15213560 language/zh-CN"
	browserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
	launchPath   = "/launch/kingdee?corpId=" + corpID
	queueTries   = 5 // how often somebody comes again who was told to wait
)

// door is how a person comes in.
type door int

const (
	client  door = iota // inside DingTalk: a code from its script
	browser             // outside: DingTalk's own page, and back
)

// person is one browser of one employee. Its requests take any replica.
type person struct {
	number  int
	gate    http.RoundTripper
	vendors *vendors
	agent   string
	cookies map[string]string
	code    string              // the last one got from DingTalk
	pause   func(time.Duration) // before coming again when told to
	last    time.Duration       // that the last answer took
}

func newPerson(v *vendors, gate http.RoundTripper, number int) *person {
	return &person{
		number: number, gate: gate, vendors: v, agent: clientAgent, cookies: map[string]string{},
		pause: func(d time.Duration) { <-time.After(d) },
	}
}

// answer is what the steps of a sign-in look at.
type answer struct {
	status   int
	location string
	retry    bool // told to come again in a moment
	body     []byte
}

// refused is an answer other than the one that a good step gets.
type refused struct {
	step   string
	status int
	code   string // short code, when there was one
}

func (e *refused) Error() string { return fmt.Sprintf("%s: status %d %s", e.step, e.status, e.code) }

func refuse(step string, a answer) error {
	var said struct{ Code string }
	if json.Unmarshal(a.body, &said) != nil {
		if i := bytes.Index(a.body, []byte("KD-")); i >= 0 && len(a.body) >= i+6 {
			said.Code = string(a.body[i : i+6])
		}
	}
	return &refused{step, a.status, said.Code}
}

// codeOf is the short code a person was refused with, empty for another error.
func codeOf(err error) string {
	if e, ok := errors.AsType[*refused](err); ok {
		return e.code
	}
	return ""
}

// send asks the gateway; a form makes it the sign-in page's post.
func (p *person) send(target string, form url.Values) (answer, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, "http://"+publicHost+target, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", p.agent)
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "http://"+publicHost)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range p.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	began := time.Now()
	res, err := p.gate.RoundTrip(req)
	p.last = time.Since(began)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(p.cookies, c.Name)
		} else {
			p.cookies[c.Name] = c.Value
		}
	}
	return answer{res.StatusCode, res.Header.Get("Location"), res.Header.Get("Retry-After") != "" && isQueue(res, text), text}, nil
}

// isQueue tells a page that comes again by itself from one that says what is broken.
func isQueue(res *http.Response, text []byte) bool {
	return res.Header.Get("Refresh") != "" || bytes.Contains(text, []byte(`"retry"`))
}

// ask is send for somebody who waits when told to, as the pages do.
func (p *person) ask(target string, form url.Values) (a answer, err error) {
	for range queueTries {
		if a, err = p.send(target, form); err != nil || !a.retry {
			break
		}
		p.pause(time.Second)
	}
	return a, err
}

// signIn comes by a door as somebody who was never here, and gives whom Kingdee
// takes the person for.
func (p *person) signIn(by door) (string, error) {
	clear(p.cookies)
	p.agent = map[door]string{client: clientAgent, browser: browserAgent}[by]
	page, err := p.begin()
	if err != nil {
		return "", err
	}
	if by == browser {
		return p.finishInBrowser(page)
	}
	code, err := p.vendors.ding.AuthCode(userid(p.number), corpID, appKey)
	if err != nil {
		return "", err
	}
	p.code = code
	page.Set("code", code)
	return p.finish(page)
}

// begin is the icon and the sign-in page, and gives the page's form.
func (p *person) begin() (url.Values, error) {
	a, err := p.ask(launchPath, nil)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/signin?") {
		return nil, refuse("icon", a)
	}
	if a, err = p.ask(a.location, nil); err != nil {
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

// finish posts the code and goes where the answer says.
func (p *person) finish(form url.Values) (string, error) {
	a, err := p.ask("/signin/dingtalk", form)
	if err != nil {
		return "", err
	}
	var next struct{ Location string }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &next) != nil || !strings.HasPrefix(next.Location, "/launch/kingdee") {
		return "", refuse("code", a)
	}
	return p.launch(next.Location)
}

// finishInBrowser is sent to DingTalk, consents there, and comes back.
func (p *person) finishInBrowser(form url.Values) (string, error) {
	a, err := p.ask("/signin/dingtalk/oauth?"+url.Values{"state": form["state"]}.Encode(), nil)
	if err != nil {
		return "", err
	}
	there, err := url.Parse(a.location)
	if err != nil || a.status != http.StatusSeeOther || there.Host != p.vendors.dingAddr {
		return "", refuse("browser door", a)
	}
	code, err := p.vendors.ding.OAuthCode(userid(p.number), corpID, appKey, true)
	if err != nil {
		return "", err
	}
	p.code = code
	back := url.Values{"authCode": {code}, "state": there.Query()["state"]}
	if a, err = p.ask("/signin/dingtalk/callback?"+back.Encode(), nil); err != nil {
		return "", err
	}
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.location, "/launch/kingdee") {
		return "", refuse("callback", a)
	}
	return p.launch(a.location)
}

// launch is a click with a live session, and gives whom Kingdee shows.
func (p *person) launch(target string) (string, error) {
	a, err := p.ask(target, nil)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusSeeOther || !strings.Contains(a.location, "/K3Cloud/") {
		return "", refuse("launch", a)
	}
	return p.landed(a.location)
}

// signOut ends the session.
func (p *person) signOut() error {
	a, err := p.ask("/signout", url.Values{})
	if err == nil && a.status >= http.StatusBadRequest {
		err = refuse("sign-out", a)
	}
	return err
}

// spoiltLink is a link that Kingdee did not take, and why by its own log.
type spoiltLink struct {
	status int
	reason string
}

func (e *spoiltLink) Error() string {
	return fmt.Sprintf("kingdee shows nobody: status %d, %s", e.status, e.reason)
}

func isSpoilt(err error) bool {
	_, is := errors.AsType[*spoiltLink](err)
	return is
}

// landed opens a link the way a fresh browser does and reads the name on the page.
func (p *person) landed(link string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	res, err := (&http.Client{Jar: jar}).Get(link)
	if err != nil {
		return "", errors.New("kingdee cannot be reached") // the error holds the link
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	_, rest, ok := bytes.Cut(text, []byte(`id="login-user">`))
	name, _, _ := bytes.Cut(rest, []byte("<"))
	if !ok {
		return "", &spoiltLink{res.StatusCode, p.vendors.reason(loginUser(p.number))}
	}
	return string(name), nil
}

// as reports a sign-in that ended as somebody else.
func (p *person) as(landed string, err error) error {
	if err == nil && landed != loginUser(p.number) {
		return fmt.Errorf("%s landed as %q", userid(p.number), landed)
	}
	return err
}
