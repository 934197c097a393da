package dingtalksim

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

//go:embed assets
var assets embed.FS

// clientCookie remembers who is signed in to the DingTalk client, which door
// was opened last and on which platform.
const clientCookie = "dtsim_client"

const (
	doorClient  = "client"
	doorBrowser = "browser"
)

func parsePages() (*template.Template, error) {
	t, err := template.ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("dingtalksim: pages: %w", err)
	}
	return t, nil
}

// icon is the text on the application's tile.
func (a *App) icon() string {
	if a.Icon != "" {
		return a.Icon
	}
	r, _ := utf8.DecodeRuneInString(a.Name)
	if r == utf8.RuneError {
		return "应"
	}
	return string(r)
}

// card is one person on a page.
type card struct {
	Corp, CorpName string
	UserID, Name   string
	Title, Dept    string
	Initial        string
	Note           string // what is special: 已离职, 外部联系人 …
	Value          string // userid, or corp/userid for other organisations
	Tint           int    // 0…5: the colour of the picture
	Chosen         bool
}

func newCard(c *corp, p Person) card {
	runes := []rune(strings.TrimSpace(p.Name))
	k := card{
		Corp: c.id, CorpName: c.name, UserID: p.UserID, Name: p.Name, Title: p.Title,
		Initial: string(runes[max(0, len(runes)-2):]), Value: c.id + "/" + p.UserID, Tint: int(digest(p.UserID)[0]) % 6,
	}
	if len(p.Departments) > 0 && p.Departments[0] != rootDept {
		d, _ := c.dir.department(p.Departments[0])
		k.Dept = d.Name
	}
	switch {
	case !p.Left.IsZero():
		k.Note = "已离职"
	case p.External:
		k.Note = "外部联系人"
	case p.OutOfRange:
		k.Note = "不在可见范围"
	case p.Unactivated:
		k.Note = "未激活"
	case p.Enterprise:
		k.Note = "企业账号"
	case p.sysLevel() == 1 || p.sysLevel() == 2:
		k.Note = "管理员"
	}
	return k
}

// cards lists everybody, first the people of corp; chosen is preselected.
func (s *Server) cards(first *corp, chosen *card) []card {
	order := slices.Clone(s.corps)
	slices.SortStableFunc(order, func(a, b *corp) int {
		switch {
		case a == first && b != first:
			return -1
		case b == first && a != first:
			return 1
		}
		return 0
	})
	list := []card{}
	for _, c := range order {
		for _, p := range c.dir.everybody() {
			k := newCard(c, p)
			k.Chosen = chosen != nil && chosen.Corp == k.Corp && chosen.UserID == k.UserID
			if c == first {
				k.Value = k.UserID
			}
			list = append(list, k)
		}
	}
	return list
}

// findPerson reads "userid", meant in home first and anywhere else then, or
// "corp/userid".
func (s *Server) findPerson(home *corp, value string) (*corp, *Person) {
	if id, userid, ok := strings.Cut(value, "/"); ok {
		if c := s.corpByID(id); c != nil {
			if p := c.dir.person(userid); p != nil {
				return c, p
			}
		}
	}
	if home != nil {
		if p := home.dir.person(value); p != nil {
			return home, p
		}
	}
	if c := s.corpOf(value); c != nil {
		return c, c.dir.person(value)
	}
	return nil, nil
}

// cookiePerson reads a person out of a cookie whose value begins "corp/userid".
func (s *Server) cookiePerson(r *http.Request, name string) (*corp, *Person) {
	ck, err := r.Cookie(name)
	if err != nil {
		return nil, nil
	}
	value, err := url.QueryUnescape(ck.Value)
	if err != nil {
		return nil, nil
	}
	value, _, _ = strings.Cut(value, "|")
	return s.findPerson(nil, value)
}

// client is the state of the simulated DingTalk client in this browser.
type client struct {
	corp     *corp
	person   *Person
	door     string
	platform string
}

func (s *Server) client(r *http.Request) client {
	cl := client{door: doorBrowser, platform: platformPC}
	cl.corp, cl.person = s.cookiePerson(r, clientCookie)
	ck, err := r.Cookie(clientCookie)
	if err != nil {
		return cl
	}
	value, _ := url.QueryUnescape(ck.Value)
	if parts := strings.Split(value, "|"); len(parts) == 3 {
		cl.door = parts[1]
		if knownPlatform(parts[2]) {
			cl.platform = parts[2]
		}
	}
	return cl
}

func (cl client) cookie() *http.Cookie {
	who := ""
	if cl.person != nil {
		who = cl.corp.id + "/" + cl.person.UserID
	}
	return &http.Cookie{
		Name: clientCookie, Value: url.QueryEscape(who + "|" + cl.door + "|" + cl.platform),
		Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// chosen is the card of the person signed in to the client, or nil.
func chosen(s *Server, r *http.Request) *card {
	cl := s.client(r)
	if cl.person == nil {
		return nil
	}
	k := newCard(cl.corp, *cl.person)
	return &k
}

// tile is one application on the workbench.
type tile struct {
	AgentID        int64
	Key, Name      string
	Icon           string
	Tint           int
	Client         string // home URL with the corpId in place
	Browser        string // opens it as any browser would
	OutsideVisible bool
}

type workbenchPage struct {
	Person    *card
	Tiles     []tile
	People    []card
	Inbox     []Message
	Approvals []errand
	Platform  string
	Platforms []string
}

// workbench is the page with people and tiles. Opening it is being in the
// client: the client door is remembered until the browser link is used.
func (s *Server) workbench(w http.ResponseWriter, r *http.Request) {
	cl := s.client(r)
	cl.door = doorClient
	if as := r.URL.Query().Get("as"); as != "" {
		home := s.corpByID(r.URL.Query().Get("corp"))
		c, p := s.findPerson(home, as)
		if p == nil {
			http.Error(w, "dingtalksim: no such person: "+as, http.StatusNotFound)
			return
		}
		cl.corp, cl.person = c, p
	}
	if p := r.URL.Query().Get("platform"); knownPlatform(p) {
		cl.platform = p
	}
	if cl.person == nil {
		if c, p := s.firstEmployee(); p != nil {
			cl.corp, cl.person = c, p
		}
	}
	page := workbenchPage{Platform: cl.platform, Platforms: platforms()}
	home := s.corps[0]
	if cl.person != nil {
		home = cl.corp
		k := newCard(cl.corp, *cl.person)
		page.Person = &k
	}
	for i, a := range home.apps {
		page.Tiles = append(page.Tiles, newTile(i, a, cl.person))
	}
	page.People = s.cards(home, page.Person)
	if cl.person != nil {
		page.Inbox, page.Approvals = s.inbox(cl.corp.id, cl.person.UserID), s.errands(cl.corp)
	}
	http.SetCookie(w, cl.cookie())
	s.page(w, "workbench.html", page)
}

func (s *Server) firstEmployee() (*corp, *Person) {
	for _, c := range s.corps {
		for _, p := range c.dir.everybody() {
			if found := c.dir.employee(p.UserID); found != nil {
				return c, found
			}
		}
	}
	return nil, nil
}

func newTile(i int, a *app, p *Person) tile {
	cfg := a.load()
	return tile{
		AgentID: cfg.AgentID, Key: a.key, Name: cfg.Name, Icon: cfg.icon(), Tint: i % 6,
		Client:         strings.ReplaceAll(cfg.HomeURL, "$CORPID$", a.corp.id), // SIM-D36
		Browser:        "/workbench/open?" + url.Values{"app": {a.key}, "door": {doorBrowser}}.Encode(),
		OutsideVisible: p != nil && !a.corp.dir.inside(p, cfg.Visible),
	}
}

// open leaves the workbench by one of the doors. By the browser door the
// address arrives as configured, $CORPID$ unreplaced, with the parameters of
// the newer container (SIM-D37).
func (s *Server) open(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	cl := s.client(r)
	a := s.apps[q.Get("app")]
	if a == nil {
		http.Error(w, "dingtalksim: no such application", http.StatusNotFound)
		return
	}
	to := a.load().HomeURL
	cl.door = doorClient
	if q.Get("door") == doorBrowser {
		cl.door = doorBrowser
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		addr, fragment, cut := strings.Cut(to, "#")
		to = addr + sep + "dd_debug_unifiedAppId=" + fmt.Sprint(a.load().AgentID) + "&dd_debug_pid=pcHome"
		if cut {
			to += "#" + fragment
		}
	} else {
		to = strings.ReplaceAll(to, "$CORPID$", a.corp.id)
	}
	http.SetCookie(w, cl.cookie())
	w.Header().Set("Cache-Control", "no-store")
	w.Header()["Location"] = []string{to} // as configured: http.Redirect would rewrite it
	w.WriteHeader(http.StatusFound)
}

// page renders one of the simulator's own pages.
func (s *Server) page(w http.ResponseWriter, name string, data any) {
	var buf bytes.Buffer
	if err := s.pages.ExecuteTemplate(&buf, name, data); err != nil {
		s.log.Error("dingtalksim: page", "name", name, "error", err)
		http.Error(w, "dingtalksim: page failed", http.StatusInternalServerError)
		return
	}
	for k, v := range pageHeader() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", typeHTML)
	_, _ = w.Write(buf.Bytes())
}

// isWebAddress says whether to is an absolute http or https address.
func isWebAddress(to string) bool {
	u, err := url.Parse(to)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
