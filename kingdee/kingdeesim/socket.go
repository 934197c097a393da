package kingdeesim

import (
	"bufio"
	"net"
	"net/http"

	"golang.org/x/net/websocket"
)

// pageSocket is the console's notify socket.
const pageSocket = "html5/notify.ashx"

// maxMessage bounds one message.
const maxMessage = 64 << 10

// socket is the console's WebSocket: it repeats what it is told, passes on what
// rings in the session, and ends with it.
func (s *Server) socket(w http.ResponseWriter, r *request) {
	if s.Switches().NoWebSocket {
		s.notFound(w)
		return
	}
	current, ok := s.browserSession(r)
	if !ok || current.unusable {
		writeText(w, http.StatusForbidden, "403 Forbidden "+textN001)
		return
	}
	r.user = current.userName
	s.arrive(r, "socket", nil, nil)
	server := websocket.Server{
		// The default refuses requests without Origin; who may come is decided by
		// the session here.
		Handshake: func(*websocket.Config, *http.Request) error { return nil },
		Handler:   func(conn *websocket.Conn) { s.talk(conn, current) },
	}
	server.ServeHTTP(hijacker{w}, r.Request)
}

// talk serves an open socket until either side has enough.
func (s *Server) talk(conn *websocket.Conn, current *session) {
	conn.MaxPayloadBytes = maxMessage
	heard, stop := make(chan string), make(chan struct{})
	defer close(stop)
	go listen(conn, heard, stop)
	seq := current.bell.seq()
	if websocket.Message.Send(conn, "hello "+current.userName) != nil {
		return
	}
	for {
		news, next := current.bell.after(seq)
		for _, n := range news {
			seq = n.Seq
			if websocket.Message.Send(conn, "notice "+n.Text) != nil {
				return
			}
		}
		select {
		case text, open := <-heard:
			if !open || websocket.Message.Send(conn, "echo "+text) != nil {
				return
			}
		case <-next:
		case <-current.ended:
			return
		case <-s.done:
			return
		}
	}
}

// listen passes messages on until the socket is closed.
func listen(conn *websocket.Conn, heard chan<- string, stop <-chan struct{}) {
	defer close(heard)
	for {
		var text string
		if websocket.Message.Receive(conn, &text) != nil {
			return
		}
		select {
		case heard <- text:
		case <-stop:
			return
		}
	}
}

// hijacker gives the websocket package the connection beneath the recorder.
type hijacker struct{ http.ResponseWriter }

// Hijack takes the connection over.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if rec, ok := h.ResponseWriter.(*recorder); ok {
		rec.status = http.StatusSwitchingProtocols
	}
	return http.NewResponseController(h.ResponseWriter).Hijack()
}
