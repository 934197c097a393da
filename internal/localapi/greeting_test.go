package localapi

import (
	"io"
	"net"
	"testing"

	"kdgate/identity"
)

// FuzzGreet: whatever a stranger answers proves nothing, because the nonce is new.
func FuzzGreet(f *testing.F) {
	token := identity.NewSecret("a token that the stranger does not have")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + proof(token, "an older nonce"))
	f.Add("HTTP/1.1 200 OK\r\n\r\n")
	f.Add("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n")
	f.Add("\x16\x03\x01")
	f.Fuzz(func(t *testing.T, answer string) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			heard := make([]byte, 4096) // a pipe is not buffered: the request must be taken
			_, _ = theirs.Read(heard)
			_, _ = io.WriteString(theirs, answer)
			_ = theirs.Close()
		}()
		err := greet(t.Context(), ours, "127.0.0.1:9090", token)
		_ = ours.Close()
		<-done
		if err == nil {
			t.Errorf("%q was believed", answer)
		}
	})
}
