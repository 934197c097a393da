package kingdeesim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	pageDownload = "html5/download.aspx"
	pageUpload   = "html5/upload.aspx"
)

// Bounds of a transfer. The vendor's upload limit is unknown.
const (
	maxDownload  = 1 << 30
	maxUpload    = 1 << 30
	chunkSize    = 32 << 10
	checksumSize = 8
)

// download streams a file of size bytes. Its last eight are the CRC-32, in hex,
// of all before, so that whoever has the file can tell that it is whole. With
// pace it waits between the chunks; with length=1 it says its length first.
func (s *Server) download(w http.ResponseWriter, r *request) {
	if _, ok := s.consoleSession(w, r); !ok {
		return
	}
	q := r.URL.Query()
	size, err := strconv.Atoi(orElse(q.Get("size"), "65536"))
	pace, paceErr := time.ParseDuration(orElse(q.Get("pace"), "0s"))
	if err != nil || paceErr != nil || size < checksumSize || size > maxDownload {
		s.serverError(w, http.StatusBadRequest, "size or pace cannot be read.")
		return
	}
	s.arrive(r, "download", q, nil)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="report.bin"; filename*=UTF-8''%E6%8A%A5%E8%A1%A8.bin`)
	w.Header().Set("Cache-Control", "private")
	if q.Get("length") == "1" {
		w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	if err := stream(w, r, size-checksumSize, pace); err != nil {
		s.logger.Info("a download ended early", "error", err)
	}
}

// stream writes size bytes, flushing each chunk, and their checksum.
func stream(w http.ResponseWriter, r *request, size int, pace time.Duration) error {
	flush := http.NewResponseController(w)
	sum := crc32.NewIEEE()
	chunk := make([]byte, chunkSize)
	for sent := 0; sent < size; sent += len(chunk) {
		chunk = chunk[:min(len(chunk), size-sent)]
		for i := range chunk {
			chunk[i] = byte((sent + i) * 131 >> 3)
		}
		_, _ = sum.Write(chunk) // never fails, by its contract
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		if err := flush.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if pace > 0 && !pause(r, pace.String(), pace) {
			return r.Context().Err()
		}
	}
	_, err := fmt.Fprintf(w, "%08x", sum.Sum32())
	return err
}

// received is what an upload turned out to be.
type received struct {
	Name   string
	Size   int64
	SHA256 string
	CRC32  string
}

// upload reads a multipart form as it comes and says what arrived; nothing is
// kept.
func (s *Server) upload(w http.ResponseWriter, r *request) {
	current, ok := s.consoleSession(w, r)
	if !ok {
		return
	}
	var faults []string
	if r.Method != http.MethodPost || r.Header.Get("csrf-token") != current.csrf {
		faults = append(faults, "csrf-token is not the page's")
	}
	files, err := receive(w, r)
	if err != nil {
		faults = append(faults, "the upload cannot be read: "+err.Error())
	}
	s.arrive(r, "upload", nil, faults)
	if len(faults) != 0 {
		s.writeJSON(w, pageReply{Message: faults[0]})
		return
	}
	s.writeJSON(w, pageReply{IsSuccess: true, Result: files})
}

func receive(w http.ResponseWriter, r *request) ([]received, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	files := []received{}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		long, short := sha256.New(), crc32.NewIEEE()
		size, err := io.Copy(io.MultiWriter(long, short), part)
		if err != nil {
			return nil, err
		}
		if part.FileName() != "" {
			files = append(files, received{part.FileName(), size, hex.EncodeToString(long.Sum(nil)), fmt.Sprintf("%08x", short.Sum32())})
		}
	}
}
