package kingdeesim

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// basePath is where everything lives, in any letter case (K1).
const basePath = "/k3cloud/"

// maxBody bounds a request body; the vendor's IIS takes 4 MiB by default.
const maxBody = 4 << 20

// maxPart bounds the one call that may be longer: an attachment's part of 4 MiB
// is a third longer as Base64 (K74).
const maxPart = 6 << 20

// Server is one simulated Kingdee server with its control door.
type Server struct {
	cfg      Config
	logger   *slog.Logger
	centres  []*centre
	switches atomic.Pointer[Switches]
	skew     atomic.Int64

	sessions *sessions
	used     *usedLinks
	faults   *faults
	held     *held
	calls    *callLog
	events   *eventLog
	counters *counters
	arrived  *arrivals
	library  library
	tasks    batchTasks
	done     chan struct{} // closed by Close
	forms    map[string]*form
	methods  map[string]method
	queries  atomic.Uint64
	running  atomic.Int64 // operations under way
	control  http.Handler
	closing  sync.Once
}

// New builds a server. It fails on an impossible configuration, naming every
// mistake, and when the state file cannot be read.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("kingdeesim: %w", err)
	}
	cfg = cfg.withDefaults()
	used, err := openUsedLinks(cfg.StateFile)
	if err != nil {
		return nil, fmt.Errorf("kingdeesim: %w", err)
	}
	s := &Server{
		cfg: cfg, logger: cfg.Logger, sessions: newSessions(cfg.IdleLimit),
		used: used, faults: &faults{}, held: newHeld(), calls: newCallLog(cfg.KeepCalls), events: &eventLog{}, counters: newCounters(),
		arrived: &arrivals{}, library: newLibrary(), done: make(chan struct{}),
	}
	s.switches.Store(&cfg.Switches)
	var schemas map[string]*docForm
	s.forms, schemas = newForms()
	for _, dc := range cfg.DataCentres {
		c := newCentre(dc, s.now)
		c.forms, c.schemas = s.forms, schemas
		if err := c.seed(s, append(commonBaseData(), c.tables.Documents...)); err != nil {
			return nil, fmt.Errorf("kingdeesim: data centre %s: %w", dc.ID, err)
		}
		s.centres = append(s.centres, c)
	}
	s.methods = s.webMethods()
	s.control = s.controlDoor()
	return s, nil
}

// Close ends waiting polls and open sockets and gives the state file back. The
// server must not be used afterwards.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.done)
		err = s.used.close()
	})
	return err
}

// now is the simulated clock.
func (s *Server) now() time.Time { return s.cfg.Now().Add(time.Duration(s.skew.Load())) }

// SetSkew moves the simulated clock away from the machine's.
func (s *Server) SetSkew(by time.Duration) { s.skew.Store(int64(by)) }

// Restart is the vendor's server restarting: every session is lost (K39), used
// links are remembered.
func (s *Server) Restart() {
	s.sessions.closeWhere(func(*session) bool { return true })
	s.note("restart", nil, claim{})
}

func (s *Server) centre(id string) (*centre, bool) {
	for _, c := range s.centres {
		if c.id == id {
			return c, true
		}
	}
	return nil, false
}

// request is one vendor call on its way through the simulator.
type request struct {
	*http.Request
	body []byte
	user string // who the call turned out to be from, for the call log
}

// ServeHTTP answers the vendor's routes, and the control door under /sim/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/sim/") {
		s.control.ServeHTTP(w, r)
		return
	}
	arrived := s.now()
	fault := s.faults.take(r.Method + " " + r.URL.Path)
	req := &request{Request: r}
	var err error
	if fault == nil || fault.At != HoldHeaders {
		req.body, err = readBody(w, r)
	}
	out := &recorder{ResponseWriter: w}
	out.Header().Set("Server", "Microsoft-IIS/10.0")
	out.Header().Set("X-Powered-By", "ASP.NET")
	// IIS tells its own clock; a gateway measures the difference by it.
	out.Header().Set("Date", arrived.UTC().Format(http.TimeFormat))
	switch {
	case err != nil:
		writeText(out, http.StatusRequestEntityTooLarge, "Maximum request length exceeded.")
	case fault != nil:
		s.serveFault(out, req, *fault)
	default:
		s.serveVendor(out, req)
	}
	s.calls.add(callOf(req, out, arrived))
}

// readBody reads a bounded body, except an upload's, which is read where it is
// taken apart.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if strings.EqualFold(r.URL.Path, basePath+pageUpload) {
		return nil, nil
	}
	limit := int64(maxBody)
	if strings.HasSuffix(strings.ToLower(r.URL.Path), ".attachmentupload"+serviceTail) {
		limit = maxPart
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}

// serveVendor is the server without faults.
func (s *Server) serveVendor(w http.ResponseWriter, r *request) {
	path := strings.ToLower(r.URL.Path)
	if s.Switches().RedirectToHTTPS && r.TLS == nil {
		http.Redirect(w, r.Request, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
		return
	}
	if path+"/" == basePath {
		http.Redirect(w, r.Request, "/K3Cloud/", http.StatusMovedPermanently)
		return
	}
	rest, ok := strings.CutPrefix(path, basePath)
	if !ok {
		s.notFound(w)
		return
	}
	if strings.HasSuffix(rest, ".kdsvc") {
		s.serveService(w, r, rest)
		return
	}
	s.serveBrowser(w, r, rest)
}

// recorder notes the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	size   int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.size += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
