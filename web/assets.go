package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// AssetPrefix is where the assets are served.
const AssetPrefix = "/assets/"

// Assets serves the embedded assets under names that carry their content's hash.
type Assets struct {
	source fs.FS
	paths  map[string]string // name → address
	files  map[string]asset  // address → content
}

type asset struct {
	file   string // read when somebody wants it as it is, which browsers do not
	kind   string
	packed func() []byte // content by gzip, made at the first request; gives nil where that saves nothing
}

// loadAssets reads assets/**. A type that is not listed here is not served,
// so notes kept beside vendored files stay inside.
func loadAssets(files fs.FS) (*Assets, error) {
	kinds := map[string]string{
		".css": "text/css; charset=utf-8",
		".js":  "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
		".png": "image/png",
	}
	a := &Assets{source: files, paths: map[string]string{}, files: map[string]asset{}}
	err := fs.WalkDir(files, "assets", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		ext := path.Ext(file)
		kind, served := kinds[ext]
		if !served {
			return nil
		}
		content, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name := strings.TrimPrefix(file, "assets/")
		address := AssetPrefix + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
		a.paths[name] = address
		a.files[address] = asset{file: file, kind: kind, packed: sync.OnceValue(func() []byte { return pack(files, file) })}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("web: assets: %w", err)
	}
	return a, nil
}

// Path is the address of an asset by its plain name, for example signin.js.
// An unknown name is an error: a template that asks for it must not go out.
func (a *Assets) Path(name string) (string, error) {
	address, ok := a.paths[name]
	if !ok {
		return "", fmt.Errorf("web: no asset %q", name)
	}
	return address, nil
}

// Has reports whether address is exactly one of ours.
func (a *Assets) Has(address string) bool {
	_, ok := a.files[address]
	return ok
}

// pack compresses an asset as well as gzip can, nil when that saves nothing.
func pack(files fs.FS, file string) []byte {
	content, err := fs.ReadFile(files, file)
	if err != nil {
		return nil
	}
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := zip.Write(content); err != nil || zip.Close() != nil || out.Len() >= len(content) {
		return nil
	}
	return out.Bytes()
}

// takesGzip reports whether a request's Accept-Encoding names gzip or all
// encodings, and does not refuse it by a weight of zero (RFC 9110, 12.5.3).
func takesGzip(header http.Header) bool {
	takes := false
	for part := range strings.SplitSeq(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		weight = strings.ReplaceAll(strings.ToLower(weight), " ", "")
		refused := strings.HasPrefix(weight, "q=0") && strings.Trim(weight[len("q=0"):], ".0") == ""
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip":
			return !refused
		case "*":
			takes = !refused
		}
	}
	return takes
}

// ServeHTTP serves exactly the addresses that Path gives, cached for ever;
// everything else is a plain 404 (T60).
//
// Assets are compressed, pages and answers of the API are not: an asset is public and
// the same for everybody, while a page holds what only its reader may know (a
// sign-in's state, names, cursors) beside words out of its address, and the length of
// both compressed together tells of the one to whoever chooses the other (BREACH). The
// pages are small enough without.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := a.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	content := file.packed()
	if content != nil {
		header.Add("Vary", "Accept-Encoding")
	}
	if content != nil && takesGzip(r.Header) {
		header.Set("Content-Encoding", "gzip")
	} else {
		var err error
		if content, err = fs.ReadFile(a.source, file.file); err != nil {
			http.NotFound(w, r)
			return
		}
	}
	header.Set("Content-Type", file.kind)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(content) // the reader has gone: nobody is left to tell
}
