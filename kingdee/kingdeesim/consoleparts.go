package kingdeesim

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The console's parts that are neither page calls nor transfers, lower case.
const (
	pageFrame    = "html5/frame.aspx"
	pageRedirect = "html5/redirect.aspx"
	pageCookies  = "html5/cookies.aspx"
	fileConsole  = "html5/script/console.js"
	fileKernel   = "html5/script/kernel.js"
)

const defaultForeign = "https://foreign.example"

// consoleParts maps a path to what answers it.
func (s *Server) consoleParts() map[string]func(http.ResponseWriter, *request) {
	return map[string]func(http.ResponseWriter, *request){
		pageDownload: s.download,
		pageUpload:   s.upload,
		pageSocket:   s.socket,
		pageFrame:    s.frame,
		pageRedirect: s.redirect,
		pageCookies:  s.cookies,
		fileConsole:  s.script(s.library.console),
		fileKernel:   s.script(s.library.kernel),
	}
}

// origin is what the server writes into absolute addresses: what it was told it
// is, or what Host says. Behind a proxy that ends TLS the scheme is then wrong,
// as it is on the real one.
func (s *Server) origin(r *request) string {
	if own := s.Switches().OwnOrigin; own != "" {
		return strings.TrimSuffix(own, "/")
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// frame is the page that the console shows in a frame, and where its absolute
// addresses lead.
func (s *Server) frame(w http.ResponseWriter, r *request) {
	current, ok := s.browserSession(r)
	if !ok {
		s.refuse(w, r, claim{address: address(r.Request)}, &refusal{"frame-session", textLostSession})
		return
	}
	r.user = current.userName
	w.Header().Set("Cache-Control", "private")
	render(w, http.StatusOK, "frame", map[string]string{"User": current.userName, "From": orElse(r.URL.Query().Get("from"), "frame")})
}

// redirect answers with an absolute address: its own, or somebody else's.
func (s *Server) redirect(w http.ResponseWriter, r *request) {
	target := s.origin(r) + "/K3Cloud/" + pageFrame + "?from=redirect"
	if r.URL.Query().Get("to") == "foreign" {
		target = orElse(s.Switches().ForeignOrigin, defaultForeign) + "/K3Cloud/html5/"
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// cookieNames are the cookies of the trial, in the order they are set.
func cookieNames() []string {
	return []string{"kdPlain", "kdDomain", "kdPath", "kdLowerPath", "kdExpires", "kdHttpOnly", "kdLax"}
}

// cookies sets cookies with every attribute a proxy must know about, or says
// which of them came back.
func (s *Server) cookies(w http.ResponseWriter, r *request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Get("show") != "" {
		back := []string{}
		for _, name := range cookieNames() {
			if _, err := r.Cookie(name); err == nil {
				back = append(back, name)
			}
		}
		s.writeJSON(w, pageReply{IsSuccess: true, Result: back})
		return
	}
	domain := r.Host
	if own, err := url.Parse(s.origin(r)); err == nil {
		domain = own.Hostname()
	}
	later := s.cfg.Now().Add(24*time.Hour).UTC().Format("Mon, 02-Jan-2006 15:04:05") + " GMT"
	for name, tail := range map[string]string{
		"kdPlain":     "",
		"kdDomain":    "; domain=" + domain + "; path=/",
		"kdPath":      "; path=/K3Cloud/html5",
		"kdLowerPath": "; path=/k3cloud/html5", // another path for a browser, which minds the case
		"kdExpires":   "; expires=" + later + "; path=/",
		"kdHttpOnly":  "; path=/; HttpOnly",
		"kdLax":       "; path=/; SameSite=Lax",
	} {
		w.Header().Add("Set-Cookie", name+"=1"+tail)
	}
	slices.Sort(w.Header()["Set-Cookie"])
	s.writeJSON(w, pageReply{IsSuccess: true, Result: cookieNames()})
}

// library holds the console's static files.
type library struct{ console, kernel staticFile }

// staticFile is a file as IIS serves it: plain, and compressed beforehand.
type staticFile struct {
	plain, packed []byte
	tag           string
}

// newLibrary makes the two files: the console's own script, and a long one.
func newLibrary() library {
	script, err := pageFiles.ReadFile("pages/console.js")
	if err != nil {
		script = []byte("throw new Error('no script');")
	}
	var long bytes.Buffer
	for i := 0; long.Len() < 1<<20; i++ {
		fmt.Fprintf(&long, "// %06d 金蝶云·星空\n", i)
	}
	fmt.Fprintf(&long, "window.kernelLoaded = %d;\n", long.Len())
	return library{newStaticFile(script), newStaticFile(long.Bytes())}
}

func newStaticFile(plain []byte) staticFile {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(plain) // memory does not fail
	_ = zip.Close()
	return staticFile{plain, packed.Bytes(), fmt.Sprintf("%08x", crc32.ChecksumIEEE(plain))}
}

// script serves a static file with IIS's caching headers: an unchanged one is
// not sent again.
func (s *Server) script(file staticFile) func(http.ResponseWriter, *request) {
	changed := time.Date(2024, time.March, 1, 8, 0, 0, 0, time.UTC)
	return func(w http.ResponseWriter, r *request) {
		body, tag := file.plain, file.tag
		w.Header().Set("Content-Type", "application/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=604800")
		w.Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && r.Header.Get("Range") == "" {
			body, tag = file.packed, tag+"-gzip"
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Header().Set("Etag", `"`+tag+`"`)
		http.ServeContent(w, r.Request, "", changed, bytes.NewReader(body))
	}
}
