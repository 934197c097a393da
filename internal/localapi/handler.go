package localapi

import (
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/mapping"
)

// Config is what the handler needs.
type Config struct {
	Table    func() Table // the table in force now
	Keeper   Keeper
	Recorder Recorder
	Doctor   Doctor
	Workshop Workshop
	Outbox   Outbox
	Consents Consents
	Token    identity.Secret // what a caller must show
	Logger   *slog.Logger
}

// handler serves the routes.
type handler struct{ Config }

// NewHandler serves the routes below Prefix to callers that show the token.
func NewHandler(cfg Config) http.Handler {
	h := handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"mappings", h.list)
	mux.HandleFunc("GET "+Prefix+"mappings/export", h.export)
	mux.HandleFunc("GET "+Prefix+"mappings/chain", h.explain)
	mux.HandleFunc("POST "+Prefix+"mappings/import", h.importFile)
	mux.HandleFunc("POST "+Prefix+"mappings/undo", h.undo)
	mux.HandleFunc("POST "+Prefix+"mappings/decide", h.decide)
	mux.HandleFunc("POST "+Prefix+"backup", h.backup)
	mux.HandleFunc("POST "+Prefix+"restore", h.restore)
	mux.HandleFunc("POST "+Prefix+"console/reset", h.resetConsole)
	mux.HandleFunc("POST "+Prefix+"audit/look", h.look)
	mux.HandleFunc("POST "+Prefix+"check", h.check)
	h.outbox(mux)
	h.consents(mux)
	if cfg.Workshop.Queue != nil {
		h.workshop(mux)
	}
	door := http.NewServeMux()
	door.HandleFunc("GET "+helloPath, h.hello)
	door.Handle(Prefix, h.guard(mux))
	return door
}

// guard lets in who is on this machine and shows the token, which is compared
// in constant time (T127). The token also keeps browsers out: a page that makes
// one call here, by a guess at the port or by DNS rebinding, has no way to know
// it, and nothing here takes a cookie. That callers come from this machine
// matters where the operations listener stands on a network: the token would
// travel in the clear.
func (h handler) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			answer(w, http.StatusForbidden, &Fault{Kind: identity.Forbidden, Words: "this door is for commands on the same machine"})
			return
		}
		shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(shown), []byte(h.Token.Reveal())) != 1 {
			answer(w, http.StatusUnauthorized, &Fault{Kind: identity.Unauthenticated, Words: "the token does not fit"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromHere reports whether the other end of the connection is this machine: on
// loopback, or the very address that it was asked at.
func fromHere(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	if peer.Addr().Unmap().IsLoopback() {
		return true
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap() == peer.Addr().Unmap()
}

// actor is the operating-system user that the command named. The token proves
// that it runs as somebody who may read the data folder.
func actor(r *http.Request) mapping.Actor {
	name := r.Header.Get("X-Local-User")
	if name == "" {
		name = "unknown"
	}
	return mapping.Actor{Name: "cli:" + name, Admin: true, Source: "local"}
}

func filterOf(r *http.Request) mapping.Filter {
	q := r.URL.Query()
	return mapping.Filter{
		DataCentre: q.Get("data_centre"), Corp: q.Get("corp"), Status: mapping.Status(q.Get("status")),
		Owner: mapping.Owner(q.Get("owner")), Code: identity.Code(q.Get("code")), Text: q.Get("text"),
	}
}

func (h handler) list(w http.ResponseWriter, r *http.Request) {
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit")) // zero means the most
	entries, next, err := h.Table().List(r.Context(), filterOf(r), r.URL.Query().Get("cursor"), limit)
	if err != nil {
		h.fail(w, err)
		return
	}
	answer(w, http.StatusOK, Page{Entries: entries, Next: next})
}

func (h handler) explain(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	who := identity.Assertion{Subject: identity.Subject{Corp: q.Get("corp"), UserID: q.Get("userid")}}
	chain, err := h.Table().Explain(r.Context(), who, q.Get("data_centre"))
	found := Explanation{Chain: chain}
	if err != nil {
		found.Code, found.Cause = identity.CodeOf(err), err.Error()
	}
	answer(w, http.StatusOK, found)
}

func (h handler) export(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	export := h.Table().ExportCSV
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	if r.URL.Query().Get("format") == "xlsx" {
		export = h.Table().ExportXLSX
		w.Header().Set("Content-Type", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
	}
	w.Header().Set("Trailer", "X-Fault") // the status is long sent when a page cannot be read
	if err := export(r.Context(), actor(r), w, filterOf(r), nil); err != nil {
		h.Logger.Error("export", "error", err)
		w.Header().Set("X-Fault", strings.ReplaceAll(err.Error(), "\n", " "))
	}
}

// decide acts on one row as it stands now: the caller saw no version.
func (h handler) decide(w http.ResponseWriter, r *http.Request) {
	var d decision
	if err := json.UnmarshalRead(http.MaxBytesReader(w, r.Body, 1<<16), &d); err != nil {
		h.fail(w, identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: %w", err))
		return
	}
	table, by := h.Table(), actor(r)
	row, err := table.Get(r.Context(), d.Key)
	if err == nil {
		switch d.Act {
		case ActSuspend:
			row, err = table.Suspend(r.Context(), by, d.Key, d.Reason)
		case ActResume:
			row, err = table.Reinstate(r.Context(), by, d.Key, row.Version)
		case ActRebind:
			nobody := ""
			row, err = table.Change(r.Context(), by, d.Key, mapping.Edit{Version: row.Version, UnionID: &nobody})
		default:
			err = identity.Fail(identity.Invalid, identity.CodeBadRequest, "localapi: no act %q", d.Act)
		}
	}
	if err != nil {
		h.fail(w, err)
		return
	}
	answer(w, http.StatusOK, row)
}

// importFile answers with lines: progress while it works, the result at the end.
func (h handler) importFile(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	stream := newStream(w)
	sheet, err := mapping.ParseSheet(http.MaxBytesReader(w, r.Body, mapping.MaxCSVBytes+1))
	if err != nil {
		stream.end(nil, err)
		return
	}
	by := actor(r)
	plan, err := h.Table().Plan(r.Context(), by, sheet, stream.progress)
	if err != nil {
		stream.end(nil, err)
		return
	}
	if r.URL.Query().Has("dry_run") || plan.Refused > 0 {
		stream.end(&Import{Plan: plan}, nil)
		return
	}
	run, err := h.Table().Apply(r.Context(), by, plan, mapping.ApplyOptions{Progress: stream.progress})
	stream.end(&Import{Plan: plan, Run: &run}, err)
}

func (h handler) undo(w http.ResponseWriter, r *http.Request) {
	noDeadline(w)
	stream := newStream(w)
	run, err := h.Table().Undo(r.Context(), actor(r), r.URL.Query().Get("run"), stream.progress)
	stream.end(&Import{Run: &run}, err)
}

// stream writes one JSON value a line.
type stream struct {
	w       http.ResponseWriter
	encoder *jsontext.Encoder
	last    int
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return &stream{w: w, encoder: jsontext.NewEncoder(w)}
}

// progress reports whole percents only: a line a row would cost more than the work.
func (s *stream) progress(done, total int) {
	if total == 0 || done*100/total == s.last {
		return
	}
	s.last = done * 100 / total
	s.write(line{Done: done, Total: total})
}

func (s *stream) end(result *Import, err error) { s.finish(line{Result: result}, err) }

// finish writes the last line.
func (s *stream) finish(l line, err error) {
	if err != nil {
		l = line{Fault: faultOf(err)}
	}
	s.write(l)
}

func (s *stream) write(l line) {
	s.put(l)
	_ = http.NewResponseController(s.w).Flush()
}

// put writes a line that need not be seen at once.
func (s *stream) put(l line) {
	_ = json.MarshalEncode(s.encoder, l) // a caller that is gone ends the request's context
}

// noDeadline frees long work from the listener's deadlines.
func noDeadline(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not a network: nothing to free
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
}

var statuses = map[identity.Kind]int{
	identity.Invalid: http.StatusBadRequest, identity.NotFound: http.StatusNotFound,
	identity.Conflict: http.StatusConflict, identity.Forbidden: http.StatusForbidden,
	identity.Unavailable: http.StatusServiceUnavailable,
}

func (h handler) fail(w http.ResponseWriter, err error) {
	h.Logger.Error("local API", "error", err)
	status, known := statuses[identity.KindOf(err)]
	if !known {
		status = http.StatusInternalServerError
	}
	answer(w, status, faultOf(err))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v) // a caller that is gone needs no answer
}
