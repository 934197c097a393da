package kingdeesim

import (
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
)

// The two headers of V9.1's anti-tampering. The vendor's checksum is vendor
// code; the simulator and its page use one of their own, which covers the exact
// bytes of the body and the headers that a page call depends on (K99).
const (
	tamperConfig   = "pvfgsdhsfg_cfg"
	tamperChecksum = "pvfgsdhsfg"
	tamperVersion  = "2.5"
)

// announce tells a page how to compute its checksum. The name is sent in lower
// case, as the vendor does.
func (s *Server) announce(w http.ResponseWriter) {
	if s.Switches().NoAntiTampering {
		return
	}
	w.Header()[tamperConfig] = []string{`{"enableFlatShake":true,"checksumvn":"` + tamperVersion + `"}`}
}

// checksumHolds tells whether a call is byte for byte what the page summed up.
func checksumHolds(r *request) bool {
	covered := ""
	for _, name := range []string{"csrf-token", "kdbiz-info", "accept-encoding_wpf", "content-type"} {
		covered += r.Header.Get(name) + "\n"
	}
	sum := crc32.Update(crc32.ChecksumIEEE([]byte(covered)), crc32.IEEETable, r.body)
	return r.Header.Get(tamperChecksum) == fmt.Sprintf("%s:%08x", tamperVersion, sum)
}

// fieldSum is the field sign of a page call: the vendor's is vendor code too;
// this one covers the decoded nonce, timestamp and arguments.
func fieldSum(fields url.Values) string {
	covered := fields.Get("nonce") + "\n" + fields.Get("timestamp")
	for i := 0; fields.Has(fmt.Sprintf("ap%d", i)); i++ {
		covered += "\n" + fields.Get(fmt.Sprintf("ap%d", i))
	}
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(covered)))
}
