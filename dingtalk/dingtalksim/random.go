package dingtalksim

import (
	"encoding/hex"
	"io"
	"strings"
	"sync"
)

// random makes codes, tokens and request ids. The lock serves test sources that
// are not safe for concurrent use; crypto/rand does not mind it.
type random struct {
	mu  sync.Mutex
	src io.Reader
}

func (r *random) bytes(n int) []byte {
	b := make([]byte, n)
	r.mu.Lock()
	defer r.mu.Unlock()
	// crypto/rand never fails; a test source that ends yields zeroes, which
	// collide visibly rather than stop the simulator.
	_, _ = io.ReadFull(r.src, b)
	return b
}

// lower is n lower-case letters and digits.
func (r *random) lower(n int) string {
	const alphabet = "0123456789abcdefghijklmnopqrstuv" // 32: no bias
	b := r.bytes(n)
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return string(b)
}

// hex is n random bytes in lower-case hexadecimal.
func (r *random) hex(n int) string { return hex.EncodeToString(r.bytes(n)) }

// uuid is an upper-case UUID, version 4.
func (r *random) uuid() string {
	b := r.bytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := strings.ToUpper(hex.EncodeToString(b))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
