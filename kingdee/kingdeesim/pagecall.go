package kingdeesim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// pageClass is where the console's own calls go. That its methods are called
// so is the simulator's choice; their envelope is the vendor's (reference, 6).
const pageClass = facade + "servicesstub.dynamicform.dynamicformservice"

// html5Agent is what a browser's page call names itself.
const html5Agent = "KD.HTML5.GZIP"

// clientHTML5 is the ClientType of the HTML5 client.
const clientHTML5 = 16

// pageCall is one call of the console, taken apart and judged.
type pageCall struct {
	*session
	fields url.Values
	header http.Header
	faults []string // what was lost or changed on the way, or was wrong from the start
	packed bool     // the reply shall be compressed
}

// blame notes what is wrong unless the test holds.
func (c *pageCall) blame(holds bool, fault string) {
	if !holds {
		c.faults = append(c.faults, fault)
	}
}

// pageReply is what a page call answers; the vendor's shape is not known.
type pageReply struct {
	IsSuccess bool
	Message   string
	Result    any
}

// pageMethods are the methods of pageClass, lower case. The first call of a page
// learns from its reply how to compute the checksum, so it alone carries none.
func (s *Server) pageMethods() map[string]method {
	return map[string]method{
		"loadpage":     s.pageMethod("LoadPage", false, s.loadPage),
		"invokeaction": s.pageMethod("InvokeAction", true, s.invokeAction),
		"checkheaders": s.pageMethod("CheckHeaders", true, s.checkHeaders),
		"finishtask":   s.pageMethod("FinishTask", true, s.finishTask),
	}
}

func (s *Server) pageMethod(name string, summed bool, run func(*pageCall) any) method {
	return func(w http.ResponseWriter, r *request, _ arguments) {
		w.Header().Set("Cache-Control", "no-store")
		current, ok := s.consoleSession(w, r)
		if !ok {
			return
		}
		call := s.readPageCall(r, current)
		if summed && !s.Switches().NoAntiTampering {
			call.blame(checksumHolds(r), "pvfgsdhsfg: the call is not what the page sent")
		}
		reply := pageReply{Result: run(call)}
		s.arrive(r, name, call.fields, call.faults)
		if reply.IsSuccess = len(call.faults) == 0; !reply.IsSuccess {
			reply.Message, reply.Result = strings.Join(call.faults, "; "), nil
		}
		s.announce(w)
		s.writePageReply(w, reply, call.packed || s.Switches().CompressReplies)
	}
}

// consoleSession is the session of a console's request, or N001 (K38).
func (s *Server) consoleSession(w http.ResponseWriter, r *request) (*session, bool) {
	current, ok := s.browserSession(r)
	if !ok || current.unusable {
		writeText(w, http.StatusOK, "403 Forbidden "+textN001)
		return nil, false
	}
	r.user = current.userName
	return current, true
}

// readPageCall takes a page call apart (K98).
func (s *Server) readPageCall(r *request, current *session) *pageCall {
	call := &pageCall{session: current, header: r.Header}
	fields, err := url.ParseQuery(string(r.body))
	call.fields = fields
	call.blame(err == nil, "the body is no form")
	for _, name := range []string{"ap0", "nonce", "v", "format", "sign", "timestamp", "compressed", "compressedapx", "useragent", "clientinfo"} {
		call.blame(len(fields[name]) == 1, name+" does not stand in the body once")
	}
	call.blame(fields.Get("useragent") == html5Agent, "useragent is not "+html5Agent)
	_, err = strconv.ParseInt(fields.Get("timestamp"), 10, 64)
	call.blame(err == nil, "timestamp is no number")
	call.blame(fields.Get("sign") == fieldSum(fields), "sign does not fit the fields")
	call.blame(current.nonces.first(fields.Get("nonce")), "nonce: the call came twice")
	call.blame(r.Header.Get("csrf-token") == current.csrf, "csrf-token is not the page's")
	s.judgeBizInfo(call)
	s.judgeClientInfo(call, r)
	if s.Switches().StrictHeaders {
		call.blame(r.Header.Get("accept-encoding_wpf") != "", "accept-encoding_wpf is lost")
	}
	return call
}

// judgeBizInfo checks kdbiz-info, which names the page the call comes from.
func (s *Server) judgeBizInfo(call *pageCall) {
	var info struct {
		PageID string `json:"pageId"`
	}
	if err := json.Unmarshal([]byte(call.header.Get("kdbiz-info")), &info); err != nil {
		call.blame(false, "kdbiz-info is lost or changed")
		return
	}
	_, known := s.sessions.page(call.session, info.PageID)
	call.blame(known, "kdbiz-info names no page of this session")
}

// judgeClientInfo checks clientinfo: EntryPageUrl is the address in the browser's
// bar, so its host is the one the browser names in Origin, whatever stands in
// between.
func (s *Server) judgeClientInfo(call *pageCall, r *request) {
	var info struct {
		ClientType   int
		EntryPageURL string `json:"EntryPageUrl"`
	}
	if err := json.Unmarshal([]byte(call.fields.Get("clientinfo")), &info); err != nil {
		call.blame(false, "clientinfo is no JSON")
		return
	}
	call.blame(info.ClientType == clientHTML5, "ClientType is not 16")
	entry, err := url.Parse(info.EntryPageURL)
	if err != nil || entry.Host == "" {
		call.blame(false, "EntryPageUrl is no absolute address")
		return
	}
	call.blame(strings.EqualFold(entry.Path, basePath+pageConsole), "EntryPageUrl is not the console's")
	call.blame(entry.Query().Get("kdsid") == call.id, "EntryPageUrl does not carry this session's kdsid")
	if origin := r.Header.Get("Origin"); origin != "" {
		call.blame(origin == entry.Scheme+"://"+entry.Host, "EntryPageUrl and Origin differ")
	}
	if s.Switches().StrictHost {
		call.blame(r.Host == entry.Host, "Host is not the host of EntryPageUrl")
	}
}

// loadPage is a page's first call: who it is for, and from which notice on its
// polls listen.
func (s *Server) loadPage(call *pageCall) any {
	return map[string]any{"User": call.userName, "Centre": call.centre.name, "Seq": call.bell.seq()}
}

// invokeAction answers what it was told. ap0 is the text; ap1 says how the
// simulator shall answer: gzip for a compressed reply, and how often the text
// comes back.
func (s *Server) invokeAction(call *pageCall) any {
	var wish struct {
		Reply  string `json:"reply"`
		Repeat int    `json:"repeat"`
	}
	if raw := call.fields.Get("ap1"); raw != "" {
		call.blame(json.Unmarshal([]byte(raw), &wish) == nil, "ap1 is no JSON")
	}
	call.packed = wish.Reply == "gzip"
	text := call.fields.Get("ap0")
	return map[string]any{"Echo": strings.Repeat(text, min(max(wish.Repeat, 1), 1000))}
}

// checkHeaders compares the headers with those the page says it sent, as JSON
// in ap0 (K98).
func (s *Server) checkHeaders(call *pageCall) any {
	var sent map[string]string
	if err := json.Unmarshal([]byte(call.fields.Get("ap0")), &sent); err != nil || len(sent) == 0 {
		call.blame(false, "ap0 names no headers")
		return nil
	}
	arrived := make([]string, 0, len(sent))
	for name, value := range sent {
		call.blame(slices.Equal(call.header.Values(name), []string{value}), name+" is lost or changed")
		arrived = append(arrived, name)
	}
	slices.Sort(arrived)
	slices.Sort(call.faults)
	return map[string]any{"Arrived": arrived}
}

// finishTask ends a task that a progress poll waits for.
func (s *Server) finishTask(call *pageCall) any {
	call.bell.ring(call.fields.Get("ap0"))
	return nil
}

// writePageReply answers as JSON, or as Base64 of gzip of it (K100).
func (s *Server) writePageReply(w http.ResponseWriter, reply pageReply, packed bool) {
	if !packed {
		s.writeJSON(w, reply)
		return
	}
	out, err := pack(reply)
	if err != nil {
		http.Error(w, "cannot encode", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	writeText(w, http.StatusOK, out)
}

func pack(value any) (string, error) {
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	if err := errors.Join(json.NewEncoder(zip).Encode(value), zip.Close()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(buf.Bytes()), nil
}

// keptNonces bounds what a session remembers.
const keptNonces = 1000

// nonces knows the calls that came already: a proxy that sends a POST again
// must not go unseen.
type nonces struct {
	mu   sync.Mutex
	seen []string
}

func (n *nonces) first(nonce string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if slices.Contains(n.seen, nonce) {
		return false
	}
	if len(n.seen) >= keptNonces {
		n.seen = slices.Delete(n.seen, 0, keptNonces/2)
	}
	n.seen = append(n.seen, nonce)
	return true
}
