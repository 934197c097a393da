package localapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/mapping"
)

// ErrNoGateway says that no gateway runs on this data folder.
var ErrNoGateway = errors.New("localapi: no gateway runs here")

// Client speaks to the handler over loopback.
type Client struct {
	base  string
	token identity.Secret
	user  string
	http  *http.Client
}

// Dial finds the gateway that runs on dataDir; ErrNoGateway when there is none,
// also where a dead one left its TokenFile and whatever listens there now cannot
// prove that it wrote it. user is the operating-system user, for the audit log.
func Dial(ctx context.Context, dataDir, user string) (*Client, error) {
	announced, err := readAnnouncement(dataDir)
	if err != nil {
		return nil, err
	}
	c := newClient(announced.Address, identity.NewSecret(announced.Token), user)
	if err := c.probe(ctx); err != nil {
		c.Close()
		if ctx.Err() != nil {
			return nil, fmt.Errorf("localapi: %w", ctx.Err())
		}
		return nil, fmt.Errorf("%w: %w", ErrNoGateway, err)
	}
	return c, nil
}

func newClient(address string, token identity.Secret, user string) *Client {
	return &Client{
		base: "http://" + address, token: token, user: user,
		http: &http.Client{Transport: &http.Transport{DialContext: dialer(address, token)}}, // no proxy: this stays here
	}
}

// probe opens a proven connection, which the first request then uses.
func (c *Client) probe(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+helloPath+"?nonce=1", nil)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, greetBytes))
	return errors.Join(err, res.Body.Close())
}

// Close ends the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Serve opens the handler on a loopback port of its own, for a command that
// found no gateway, and returns a client of it. close ends both.
func Serve(ctx context.Context, cfg Config, user string) (c *Client, closePort func() error, err error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("localapi: %w", err)
	}
	server := &http.Server{Handler: NewHandler(cfg), ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // ends with Close
	}()
	c = newClient(listener.Addr().String(), cfg.Token, user)
	return c, func() error {
		c.Close()
		err := server.Close()
		<-done
		return err
	}, nil
}

// List returns one page of the rows that match.
func (c *Client) List(ctx context.Context, f mapping.Filter, cursor string) (Page, error) {
	q := queryOf(f)
	q.Set("cursor", cursor)
	var page Page
	return page, c.get(ctx, "mappings", q, &page)
}

// Explain walks one person's chain.
func (c *Client) Explain(ctx context.Context, key mapping.Key) (Explanation, error) {
	q := url.Values{"corp": {key.Corp}, "userid": {key.UserID}, "data_centre": {key.DataCentre}}
	var found Explanation
	return found, c.get(ctx, "mappings/chain", q, &found)
}

// Decide acts on one row and returns it as it then is.
func (c *Client) Decide(ctx context.Context, key mapping.Key, act Act, reason string) (mapping.Entry, error) {
	var row mapping.Entry
	err := c.post(ctx, "mappings/decide", decision{Key: key, Act: act, Reason: reason}, &row)
	return row, err
}

// Export copies the rows that match to w; format is csv or xlsx.
func (c *Client) Export(ctx context.Context, f mapping.Filter, format string, w io.Writer) error {
	q := queryOf(f)
	q.Set("format", format)
	res, err := c.send(ctx, http.MethodGet, "mappings/export", q, nil)
	return copied(w, res, err, "the export")
}

// copied copies a long answer to w. One that broke off on the other side says so
// behind its end.
func copied(w io.Writer, res *http.Response, err error, what string) error {
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	if fault := res.Trailer.Get("X-Fault"); fault != "" {
		return fmt.Errorf("%s is not complete: %s", what, fault)
	}
	return nil
}

// Import previews a CSV or XLSX file and, unless dryRun or a line is refused, applies it.
func (c *Client) Import(ctx context.Context, csv io.Reader, dryRun bool, p mapping.Progress) (Import, error) {
	q := url.Values{}
	if dryRun {
		q.Set("dry_run", "1")
	}
	return c.longImport(ctx, "mappings/import", q, csv, p)
}

// Undo takes an import back.
func (c *Client) Undo(ctx context.Context, run string, p mapping.Progress) (Import, error) {
	return c.longImport(ctx, "mappings/undo", url.Values{"run": {run}}, nil, p)
}

func (c *Client) longImport(ctx context.Context, path string, q url.Values, body io.Reader, p mapping.Progress) (Import, error) {
	last, err := c.long(ctx, path, q, body, p)
	if err != nil || last.Result == nil {
		return Import{}, err
	}
	return *last.Result, nil
}

// long reads lines until the last, which holds a result, or the fault.
func (c *Client) long(ctx context.Context, path string, q url.Values, body io.Reader, p mapping.Progress) (line, error) {
	res, err := c.send(ctx, http.MethodPost, path, q, body)
	if err != nil {
		return line{}, err
	}
	defer res.Body.Close()
	lines := jsontext.NewDecoder(res.Body)
	for {
		var l line
		if err := json.UnmarshalDecode(lines, &l); err != nil {
			return line{}, fmt.Errorf("localapi: the gateway stopped in the middle: %w", err)
		}
		switch {
		case l.Fault != nil:
			return line{}, l.Fault.restore()
		case l.Result != nil || l.Restored != nil || l.Checkup != nil:
			return l, nil
		case p != nil:
			p(l.Done, l.Total)
		}
	}
}

func (c *Client) get(ctx context.Context, path string, q url.Values, into any) error {
	res, err := c.send(ctx, http.MethodGet, path, q, nil)
	return taken(into, res, err)
}

// taken reads what send gave.
func taken(into any, res *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.UnmarshalRead(res.Body, into); err != nil {
		return fmt.Errorf("localapi: %w", err)
	}
	return nil
}

// send returns a good answer, or the fault that a bad one carries.
func (c *Client) send(ctx context.Context, method, path string, q url.Values, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+Prefix+path+"?"+q.Encode(), body)
	if err != nil {
		return nil, fmt.Errorf("localapi: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	req.Header.Set("X-Local-User", c.user)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("localapi: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	fault := &Fault{}
	if err := json.UnmarshalRead(res.Body, fault); err != nil {
		return nil, fmt.Errorf("localapi: status %d", res.StatusCode)
	}
	return nil, fault.restore()
}

func queryOf(f mapping.Filter) url.Values {
	q := url.Values{}
	for name, value := range map[string]string{
		"data_centre": f.DataCentre, "corp": f.Corp, "status": string(f.Status),
		"owner": string(f.Owner), "code": string(f.Code), "text": f.Text,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}
