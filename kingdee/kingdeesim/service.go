package kingdeesim

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The service classes that are known, in lower case.
const (
	authClass    = "kingdee.bos.webapi.servicesstub.authservice"
	formClass    = "kingdee.bos.webapi.servicesstub.dynamicformservice"
	accountClass = "kingdee.bos.servicefacade.servicesstub.account.accountservice"
	userClass    = "kingdee.bos.servicefacade.servicesstub.user.userservice"
	facade       = "kingdee.bos.servicefacade."
	serviceTail  = ".common.kdsvc"
)

// method answers one known service method.
type method func(http.ResponseWriter, *request, arguments)

// webMethods maps "class.method", lower case, to what answers it.
func (s *Server) webMethods() map[string]method {
	out := map[string]method{
		accountClass + ".getdatacenterlist": s.listCentres,
		userClass + ".logoutbyothersystem":  s.logoutByOtherSystem,
		authClass + ".logout":               s.logout,
	}
	for name, login := range s.loginMethods() {
		out[authClass+"."+name] = login
	}
	for name, call := range s.pageMethods() {
		out[pageClass+"."+name] = call
	}
	for name, op := range s.operations() {
		out[formClass+"."+name] = s.operation(name, op)
	}
	return out
}

// serveService answers *.kdsvc.
func (s *Server) serveService(w http.ResponseWriter, r *request, path string) {
	if r.Method != http.MethodPost {
		s.serverError(w, http.StatusMethodNotAllowed, "The HTTP verb used to access this path is not allowed.")
		return
	}
	if strings.HasSuffix(path, progressTail) {
		s.progress(w, r)
		return
	}
	if s.Switches().ForcedGateway {
		writeText(w, http.StatusOK, textGateway)
		return
	}
	call, known := strings.CutSuffix(path, serviceTail)
	call, _, _ = strings.Cut(call, ",") // an assembly may be named (2.1)
	answer, ok := s.methods[call]
	if !known || !ok {
		s.unknownMethod(w, r, call)
		return
	}
	args, err := readArguments(r.body, s.Switches().AcceptBareArray)
	if err != nil {
		text := "Server Error in '/K3Cloud' Application."
		if errors.Is(err, errBareArray) {
			text = errBareArray.Error()
		}
		s.serverError(w, http.StatusInternalServerError, text)
		return
	}
	answer(w, r, args)
}

// unknownMethod is not 200 and not JSON (K5), except that the classes behind
// the browser answer N001 to whoever has no session (K38).
func (s *Server) unknownMethod(w http.ResponseWriter, r *request, call string) {
	if strings.HasPrefix(call, facade) {
		if current, ok := s.sessionOf(r); !ok || current.unusable {
			writeText(w, http.StatusOK, "403 Forbidden "+textN001)
			return
		}
	}
	s.serverError(w, http.StatusInternalServerError, "Server Error in '/K3Cloud' Application. The service or method does not exist.")
}

// listCentres answers without login (K9).
func (s *Server) listCentres(w http.ResponseWriter, _ *request, _ arguments) {
	type item struct{ Id, Number, Name string } //nolint:revive // the vendor's spelling
	out := make([]item, 0, len(s.centres))
	for _, c := range s.centres {
		out = append(out, item{c.id, c.number, c.name})
	}
	s.writeJSON(w, out)
}

// operation runs one DynamicFormService method inside a session: the session's
// calls wait for one another (K42).
func (s *Server) operation(name string, run operation) method {
	return func(w http.ResponseWriter, r *request, args arguments) {
		current, no := s.authenticate(w, r)
		if no != nil {
			no.write(s, w, name)
			return
		}
		r.user = current.userName
		if current.unusable {
			writeText(w, http.StatusOK, "401 Forbidden "+textN001)
			return
		}
		select {
		case current.turn <- struct{}{}:
		case <-r.Context().Done():
			return // the caller has gone
		}
		defer func() { <-current.turn }()
		if limit := s.Switches().MaxConcurrent; int(s.running.Add(1)) > limit && limit > 0 {
			s.running.Add(-1)
			s.writeOperationError(w, name, failed(codeQuota, "接口调用并发数已达上限"))
			return
		}
		defer s.running.Add(-1)
		if extra := beyondBatch(name, args); extra > 0 && !s.tolerates(w, r, extra) {
			return
		}
		value, bad := run(caller{current, s}, args)
		if bad != nil {
			s.writeOperationError(w, name, bad)
			return
		}
		s.writeJSON(w, value)
	}
}

// What one batch may hold (K69).
const (
	batchBills  = 20
	batchGroups = 10
	slowness    = 10 * time.Millisecond // for each bill beyond
)

// beyondBatch is by how much a batch is too large.
func beyondBatch(name string, args arguments) int {
	if name != "batchsave" {
		return 0
	}
	data, err := args.object(1, "data")
	if err != nil {
		return 0
	}
	models, _ := data.Get("Model")
	list, _ := models.([]any)
	groups, _ := strconv.Atoi(data.Text("BatchCount"))
	return max(len(list)-batchBills, groups-batchGroups, 0)
}

// tolerates lets too large a batch pass slowly, or refuses it (K69).
func (s *Server) tolerates(w http.ResponseWriter, r *request, extra int) bool {
	if s.Switches().BatchLimitIsError {
		s.writeOperationError(w, "batchsave", failed(codeQuota, "单次调用的数据量超过上限"))
		return false
	}
	return pause(r, (time.Duration(extra) * slowness).String(), 0)
}

// operation is what a DynamicFormService method does; the answer is JSON.
type operation func(caller, arguments) (any, *opError)

// caller is who an operation runs for.
type caller struct {
	*session
	server *Server
}

// writeOperationError wraps a failure as its method does: queries answer an
// array (in an array) around the envelope (K37, K60).
func (s *Server) writeOperationError(w http.ResponseWriter, name string, e *opError) {
	body := s.errorEnvelope(e)
	switch {
	case name == "executebillquery":
		row := []any{body}
		if s.Switches().PadErrorRow && e.width > 1 {
			row = append(row, make([]any, e.width-1)...)
		}
		s.writeJSON(w, [][]any{row})
	case name == "billquery" && !s.Switches().BareQueryError:
		s.writeJSON(w, []any{body})
	default:
		s.writeJSON(w, body)
	}
}
