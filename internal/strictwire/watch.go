package strictwire

// watch reads the start of a response as the server writes it: whether one has
// begun, and whether it switches protocols.
type watch struct {
	state   watching
	upgrade bool // the request asked for it
	status  [len("HTTP/1.1 101")]byte
	n       int // bytes of status
	ends    int // bytes of the CRLF CRLF that ends an interim answer
}

type watching uint8

const (
	unwatched watching = iota // no request, or its answer has begun
	atStatus
	inInterim
	switched
)

// begin waits for the answer to a request.
func (w *watch) begin(upgrade bool) { *w = watch{state: atStatus, upgrade: upgrade} }

// untouched says that no byte of an answer, or only whole interim ones, went out.
func (w *watch) untouched() bool { return w.state == atStatus && w.n == 0 }

// see takes what the server writes and says whether protocols are switched now.
func (w *watch) see(p []byte) bool {
	for i := 0; i < len(p) && (w.state == atStatus || w.state == inInterim); i++ {
		if w.state == inInterim {
			w.pass(p[i])
			continue
		}
		w.status[w.n] = p[i]
		if w.n++; w.n == len(w.status) {
			w.decide()
		}
	}
	return w.state == switched
}

func (w *watch) decide() {
	code := string(w.status[len("HTTP/1.1 "):])
	switch {
	case code == "101" && w.upgrade:
		w.state = switched
	case code[0] == '1' && code != "101":
		w.state, w.n, w.ends = inInterim, 0, 0
	default:
		w.state = unwatched
	}
}

func (w *watch) pass(b byte) {
	const end = "\r\n\r\n"
	switch {
	case b == end[w.ends]:
		w.ends++
	case b == '\r':
		w.ends = 1
	default:
		w.ends = 0
	}
	if w.ends == len(end) {
		w.state = atStatus
	}
}
