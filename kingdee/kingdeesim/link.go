package kingdeesim

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// The pages of the browser side, below the base path, lower case.
const (
	pageIndex   = "html5/index.aspx"
	pageLight   = "html5/lightstartapp.aspx"
	pageMobile  = "mobile/k3cloudforphone.html"
	pageConsole = "html5/dform.aspx"
	pageLogout  = "html5/logout.aspx"
	pageManager = "manager/"
)

// serveBrowser answers what is not a service call.
func (s *Server) serveBrowser(w http.ResponseWriter, r *request, path string) {
	switch path {
	case "":
		s.loginPage(w)
	case pageIndex, pageLight:
		s.serveEntry(w, r, path == pageLight)
	case pageMobile:
		l, err := parseMobile(r.URL.Query())
		s.enter(w, r, l, err)
	case pageConsole:
		s.consolePage(w, r)
	case pageLogout:
		s.signOutPage(w, r)
	case pageManager, strings.TrimSuffix(pageManager, "/"):
		render(w, http.StatusOK, "manager", nil)
	default:
		if answer, ok := s.consoleParts()[path]; ok {
			answer(w, r)
			return
		}
		s.notFound(w)
	}
}

// serveEntry is html5/index.aspx and html5/lightstartapp.aspx (K79).
func (s *Server) serveEntry(w http.ResponseWriter, r *request, light bool) {
	raw, ok := rawParameter(r.URL.RawQuery, "ud")
	if !ok {
		s.loginPage(w)
		return
	}
	encoding, _ := rawParameter(r.URL.RawQuery, "udencoding")
	l, err := parseUD(raw, encoding, s.Switches().GBKByDefault)
	if err == nil && l.originType == originYunzhijia {
		err = errors.Join(errLink, errors.New("Yunzhijia links are not simulated"))
	}
	l.place.single = light && l.place.openMode == "Single"
	s.enter(w, r, l, err)
}

// rawParameter is a query value before decoding; names are case-free in ASP.NET.
func rawParameter(query, name string) (string, bool) {
	for part := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// enter judges a link and lets the browser in, or shows the refusal page.
func (s *Server) enter(w http.ResponseWriter, r *request, l link, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost {
		s.serverError(w, http.StatusMethodNotAllowed, "The HTTP verb used to access this path is not allowed.")
		return
	}
	r.user = l.user
	c := claim{
		centreID: l.centreID, user: l.user, appID: l.appID, sign: l.sign, timestamp: l.timestamp,
		signed: l.signedExtras(), hash: l.hash, address: address(r.Request),
	}
	if s.Switches().MobileByTenant {
		c.hash = ""
	}
	if err != nil {
		s.refuse(w, r, c, &refusal{"unreadable", err.Error()})
		return
	}
	p, no := s.admit(c)
	if no == nil {
		no = s.redeem(r, l, p)
	}
	if no != nil {
		s.refuse(w, r, c, no)
		return
	}
	s.note("link", nil, c)
	s.land(w, r, l, p)
}

// redeem uses a once-only link up (K87, K88, K97). A link that says 1 is once
// whatever the row says; a row "once" makes every link so.
func (s *Server) redeem(r *request, l link, p pass) *refusal {
	once := l.permitCount == "1" || !p.row.Reusable && !(l.hasPermit && s.Switches().LinkWinsOverRow)
	if !once || r.Method == http.MethodHead && s.Switches().HeadIsHarmless {
		return nil
	}
	first, err := s.used.redeem(l.centreID, l.appID, l.user, l.timestamp, asciiLower(l.sign))
	if err != nil {
		s.logger.Error("cannot remember a used link", "error", err)
		return &refusal{"state", "cannot remember the link"}
	}
	if !first {
		return &refusal{"used", "链接已被使用"}
	}
	return nil
}

// land sets the cookies and sends the browser to the console (K93).
func (s *Server) land(w http.ResponseWriter, r *request, l link, p pass) {
	current := s.sessions.open(p.centre, p.user, byLink, "simpas", s.now())
	page := pageID()
	s.sessions.addPage(current, page, l.place)
	s.setSessionCookies(w, current)
	w.Header().Add("Set-Cookie", "Theme=standard; path=/k3cloud/html5")
	target := "/K3Cloud/html5/dform.aspx?formId=BOS_HtmlConsole&formType=mobileform&pageId=" + page +
		"&usertoken=" + url.QueryEscape(current.userToken) + "&kdsid=" + url.QueryEscape(current.id) + "&custparam="
	if s.Switches().LandAbsolute {
		target = s.origin(r) + target
	}
	w.Header().Set("Cache-Control", "private")
	if s.Switches().LandByScript {
		render(w, http.StatusOK, "script", target)
		return
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// refuse shows one and the same page for every reason; only the log view knows
// more (K90, K91).
func (s *Server) refuse(w http.ResponseWriter, r *request, c claim, no *refusal) {
	s.note("link", no, c)
	if s.Switches().RefusalRedirects {
		http.Redirect(w, r.Request, "/K3Cloud/html5/index.aspx", http.StatusFound)
		return
	}
	w.Header().Set("Cache-Control", "private")
	render(w, http.StatusOK, "refused", nil)
}

// logoutByOtherSystem ends every session of a user (K96). The arguments come as
// form field ap0 or as a JSON body. What the vendor answers is not documented:
// true, or plain text with an error.
func (s *Server) logoutByOtherSystem(w http.ResponseWriter, r *request, args arguments) {
	o, err := args.object(0, "ap0")
	if err != nil || o == nil {
		writeText(w, http.StatusOK, "response_error:ap0 is missing or not JSON")
		return
	}
	c := claim{
		centreID: o.Text("AcctID"), user: o.Text("Username"), appID: o.Text("AppId"), sign: o.Text("SignedData"),
		timestamp: o.Text("Timestamp"), anyUser: true, address: address(r.Request),
	}
	r.user = c.user
	p, no := s.admit(c)
	s.note("logout", no, c)
	if no != nil {
		writeText(w, http.StatusOK, "response_error:"+no.text)
		return
	}
	s.sessions.closeWhere(func(o *session) bool { return o.centre == p.centre && o.userName == p.user.Name })
	s.writeJSON(w, true)
}
