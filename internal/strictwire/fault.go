package strictwire

import "net/http"

// fault is why a request is refused. Its text is a fixed label for logs and
// metrics; none is made of input.
type fault uint8

const (
	clean fault = iota
	badLine
	badTarget
	badVersion
	bareLF
	bareCR
	controlByte
	foldedLine
	spaceBeforeColon
	badName
	badHost
	hostTwice
	noHost
	twoFramings
	lengthTwice
	badLength
	badCoding
	badExpect
	chunkExtension
	badChunk
	badTrailer
	trailersTooLarge
	targetTooLong
	headTooLarge
	truncated
	plainToTLS
	handshakeFailed
	handshakeCrowded
)

// String is the label.
func (f fault) String() string {
	return [...]string{
		"clean", "request line", "target", "version", "bare LF", "bare CR", "control byte", "folded line",
		"space before colon", "header name", "host", "host twice", "no host", "length and transfer encoding",
		"length twice", "length", "transfer encoding", "expectation", "chunk extension", "chunk", "trailer",
		"trailers too large", "target too long", "head too large", "truncated head", "plain HTTP to TLS",
		"handshake failed", "too many handshakes",
	}[f]
}

// status is the answer to it. Everything that is only malformed is 400, so that
// a prober learns nothing of which rule stopped it.
func (f fault) status() int {
	switch f {
	case targetTooLong:
		return http.StatusRequestURITooLong
	case headTooLarge, trailersTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case badExpect:
		return http.StatusExpectationFailed
	case badVersion:
		return http.StatusHTTPVersionNotSupported
	default:
		return http.StatusBadRequest
	}
}
