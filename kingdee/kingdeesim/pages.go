package kingdeesim

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages/*.html pages/console.js
var pageFiles embed.FS

// pages are parsed once; templates are safe for concurrent use and never changed.
var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// render writes one page. Nothing in it comes from outside but the data given.
func render(w http.ResponseWriter, status int, name string, data any) {
	var buf bytes.Buffer
	if err := pages.ExecuteTemplate(&buf, name+".html", data); err != nil {
		http.Error(w, "cannot draw the page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // the browser may have gone
}

func (s *Server) loginPage(w http.ResponseWriter) { render(w, http.StatusOK, "login", nil) }

func (s *Server) notFound(w http.ResponseWriter) {
	s.serverError(w, http.StatusNotFound, "404 - File or directory not found.")
}

// serverError is an IIS error page: HTML, never JSON (K5).
func (s *Server) serverError(w http.ResponseWriter, status int, text string) {
	render(w, status, "error", text)
}

// console is what the landing page shows.
type console struct {
	User, Account, Centre, CentreID string
	FormID, FormType, FormName      string
	PkID                            string
	Single                          bool
	PageID, CSRF                    string
	AbsoluteLink                    string
}

// formName is the screen name of a form a link may name.
func formName(id string) string {
	switch id {
	case "", "BOS_HtmlConsole":
		return "主控台"
	case "ER_ExpReimbursement":
		return "费用报销单"
	case "ER_ExpReimbursement_Travel":
		return "差旅费报销单"
	case "ER_ExpenseRequest":
		return "费用申请单"
	case "WF_AssignmentBill":
		return "待办任务"
	case "STK_Inventory":
		return "即时库存"
	case "BD_MATERIAL":
		return "物料"
	case "GL_VOUCHER":
		return "凭证"
	default:
		return id
	}
}

// browserSession is the session of a page call: both cookies, and the user
// token and session id of the address, must belong together.
func (s *Server) browserSession(r *request) (*session, bool) {
	current, ok := s.sessionOf(r)
	if !ok {
		return nil, false
	}
	asp, err := r.Cookie(aspCookie)
	return current, err == nil && asp.Value == current.aspID
}

// consolePage is html5/dform.aspx, where a good link ends.
func (s *Server) consolePage(w http.ResponseWriter, r *request) {
	q := r.URL.Query()
	current, ok := s.browserSession(r)
	if !ok || q.Get("usertoken") != current.userToken || q.Get("kdsid") != current.id {
		s.refuse(w, r, claim{address: address(r.Request)}, &refusal{"console-session", textLostSession})
		return
	}
	r.user = current.userName
	shown, ok := s.sessions.page(current, q.Get("pageId"))
	if !ok {
		s.refuse(w, r, claim{centreID: current.centre.id, user: current.userName, address: address(r.Request)}, &refusal{"console-page", "页面不存在"})
		return
	}
	w.Header().Set("Cache-Control", "private")
	s.announce(w)
	if current.unusable {
		render(w, http.StatusOK, "password", current.userName)
		return
	}
	user, _ := current.centre.userWithID(current.userID)
	render(w, http.StatusOK, "console", console{
		User: user.Name, Account: user.Account, Centre: current.centre.name, CentreID: current.centre.id,
		FormID: orElse(shown.formID, "BOS_HtmlConsole"), FormType: orElse(shown.formType, "mobileform"), FormName: formName(shown.formID),
		PkID: shown.pkID, Single: shown.single, PageID: q.Get("pageId"), CSRF: current.csrf,
		AbsoluteLink: s.origin(r) + "/K3Cloud/" + pageFrame + "?from=link",
	})
}

// signOutPage is the console's 注销 button.
func (s *Server) signOutPage(w http.ResponseWriter, r *request) {
	if r.Method != http.MethodPost {
		s.notFound(w)
		return
	}
	if current, ok := s.browserSession(r); ok {
		r.user = current.userName
		s.sessions.close(current.id, s.now())
	}
	w.Header().Add("Set-Cookie", sessionCookie+"=; expires=Thu, 01-Jan-1970 00:00:00 GMT; path=/")
	w.Header().Add("Set-Cookie", aspCookie+"=; expires=Thu, 01-Jan-1970 00:00:00 GMT; path=/; HttpOnly")
	render(w, http.StatusOK, "signedout", nil)
}
