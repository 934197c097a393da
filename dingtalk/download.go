package dingtalk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// DownloadConfig says where files may be fetched from. An address comes from
// DingTalk's answer, so it is held to a list (T119).
type DownloadConfig struct {
	// Hosts are names, or *.NAME for all below a name; DefaultFileHosts when
	// empty. An http:// before a loopback name with its port allows plain HTTP
	// there, for trials.
	Hosts []string
	// Private are networks that may be called although they are not public, such
	// as a dedicated storage of the organisation's own.
	Private []netip.Prefix
	Timeout time.Duration // of a whole file; 5 min by default
}

// DefaultFileHosts are where DingTalk keeps files: the names that it tells people
// to open in their firewalls.
func DefaultFileHosts() []string {
	return []string{
		"*.dingtalk.com", "lippi-space-zjk.oss-cn-zhangjiakou.aliyuncs.com", "lippi-space-sh.oss-cn-shanghai.aliyuncs.com",
		"lippi-space-sz.oss-cn-shenzhen.aliyuncs.com",
	}
}

// Downloader fetches files. It is safe for concurrent use.
type Downloader struct {
	hosts   []string
	plain   map[string]bool // host:port on loopback
	timeout time.Duration
	public  *http.Client
	local   *http.Client // for plain only
}

// NewDownloader checks the configuration.
func NewDownloader(cfg DownloadConfig) (*Downloader, error) {
	d := &Downloader{plain: map[string]bool{}, timeout: cfg.Timeout}
	if d.timeout <= 0 {
		d.timeout = 5 * time.Minute
	}
	if len(cfg.Hosts) == 0 {
		cfg.Hosts = DefaultFileHosts()
	}
	var wrong []error
	for _, host := range cfg.Hosts {
		if local, plain := strings.CutPrefix(host, "http://"); plain {
			wrong = append(wrong, d.addPlain(local))
			continue
		}
		name := strings.ToLower(strings.TrimPrefix(host, "*."))
		if name == "" || strings.ContainsAny(name, "*/:@ ") || !strings.Contains(name, ".") {
			wrong = append(wrong, fmt.Errorf("%q is no host, nor *. before one", host))
			continue
		}
		d.hosts = append(d.hosts, strings.ToLower(host))
	}
	d.public = peer.New(peer.Config{Guard: &peer.Guard{Private: cfg.Private}}).Upgrader()
	d.local = peer.New(peer.Config{}).Upgrader()
	return d, errors.Join(wrong...)
}

func (d *Downloader) addPlain(address string) error {
	host, _, err := net.SplitHostPort(address)
	ip, noIP := netip.ParseAddr(host)
	if err != nil || host != "localhost" && (noIP != nil || !ip.IsLoopback()) {
		return fmt.Errorf("http://%s: plain HTTP is for HOST:PORT on loopback only", address)
	}
	d.plain[address] = true
	return nil
}

// allowed is an address as it is fetched: over HTTPS, although DingTalk writes
// http, from a host on the list and its default port.
func (d *Downloader) allowed(address identity.Secret) (*url.URL, *http.Client, error) {
	refused := func(why string) error {
		return identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "dingtalk: the address of a file: %s", why)
	}
	u, err := url.Parse(address.Reveal())
	if err != nil || !fileAddress(u) {
		return nil, nil, refused("it is not one of a file")
	}
	if u.Scheme == "http" && d.plain[u.Host] {
		return u, d.local, nil
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case !d.listed(host):
		return nil, nil, refused(fmt.Sprintf("%q is not among the hosts that files may be fetched from", clean(host)))
	case !defaultPort(u):
		return nil, nil, refused("it names a port")
	}
	u.Scheme, u.Host = "https", host
	return u, d.public, nil
}

// fileAddress reports whether an address is one of the web that carries no name
// and password.
func fileAddress(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.Opaque == ""
}

// listed reports whether a host in small letters is on the list, by its own name
// or below a *. entry.
func (d *Downloader) listed(host string) bool {
	return slices.ContainsFunc(d.hosts, func(entry string) bool {
		below, wild := strings.CutPrefix(entry, "*")
		return host == entry || wild && strings.HasSuffix(host, below)
	})
}

// defaultPort reports whether an address keeps to the port of HTTPS, or to that of
// HTTP where it says http.
func defaultPort(u *url.URL) bool {
	switch u.Port() {
	case "", "443":
		return true
	case "80":
		return u.Scheme == "http"
	}
	return false
}

// Open begins to fetch a file. The reader ends in an error, never in io.EOF, when
// the file was cut off before the length that its server told; Close it. Kind
// Misconfigured: the address is not on the list. Any other failure may be gone
// with a new address.
func (d *Downloader) Open(ctx context.Context, address identity.Secret) (io.ReadCloser, error) {
	u, client, err := d.allowed(address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		cancel()
		return nil, identity.Fail(identity.Internal, identity.CodeInternal, "dingtalk: a file cannot be asked for")
	}
	req.Header.Set("Accept-Encoding", "identity") // what is counted is what is kept
	res, err := client.Do(req)
	if err != nil {
		cancel()
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the rest is the address
		}
		return nil, identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "dingtalk: a file: %w", err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Encoding") != "" {
		res.Body.Close()
		cancel()
		return nil, identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "dingtalk: a file is answered with status %d", res.StatusCode)
	}
	return &download{res.Body, cancel}, nil
}

// download is a file under way; its time ends with it.
type download struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (d *download) Close() error {
	d.cancel()
	return d.ReadCloser.Close()
}
