package checkup

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"kdgate/kingdee"
)

// Kingdee is what is asked of a client of one data centre.
type Kingdee interface {
	Examine(ctx context.Context) []kingdee.Finding
	ExamineForms(ctx context.Context) []kingdee.Finding
	ExamineBills(ctx context.Context, forms ...string) []kingdee.Finding
}

// Centre says what a data centre is used for.
type Centre struct {
	Address string      // of the server, to look at its certificate
	TLS     *tls.Config // how it is verified
	Jobs    bool        // the directory writes there: its forms are asked too
	Bills   []string    // bill forms that the rules of approvals write
	Now     func() time.Time
	// LinkTwice opens one link of an appointed visitor twice and reports whether the
	// second time was taken; nil where nobody is appointed.
	LinkTwice func(ctx context.Context) (bool, error)
}

// KingdeePeer tests a data centre: the login with the integration user, each
// form with its configured keys, the clock and the server's certificate. The
// switch that makes a link good for one use only is not told by any call: it is
// tried where a visitor is appointed for it (T32).
func KingdeePeer(id string, client Kingdee, centre Centre) Peer {
	return Peer{Name: "kingdee/" + id, Test: func(ctx context.Context) []Item {
		var items []Item
		for _, finding := range client.Examine(ctx) {
			items = append(items, kingdeeItem(finding))
		}
		if centre.Jobs {
			items = append(items, marked(client.ExamineForms(ctx), " (jobs)")...)
		}
		if len(centre.Bills) > 0 {
			items = append(items, marked(client.ExamineBills(ctx, centre.Bills...), " (bills)")...)
		}
		if item, ok := remoteCertificate(ctx, centre); ok {
			items = append(items, item)
		}
		return append(items, onceOnly(ctx, centre))
	}}
}

// marked keeps forms apart that are looked at for different ends.
func marked(findings []kingdee.Finding, end string) []Item {
	items := make([]Item, 0, len(findings))
	for _, finding := range findings {
		item := kingdeeItem(finding)
		item.Check += end
		items = append(items, item)
	}
	return items
}

// onceOnly tries whether a used link opens Kingdee again.
func onceOnly(ctx context.Context, centre Centre) Item {
	item := Item{Check: "once-only", Status: Unknown, Cause: "kingdee-once-only"}
	if centre.LinkTwice == nil {
		return item
	}
	twice, err := centre.LinkTwice(ctx)
	switch {
	case err != nil:
		item.Detail = err.Error()
	case twice:
		item.Status, item.Cause = Fault, "kingdee-link-reused"
	default:
		return good(item.Check, "")
	}
	return item
}

func kingdeeItem(finding kingdee.Finding) Item {
	if finding.Err == nil {
		return good(finding.Item, "")
	}
	item := Item{Check: finding.Item, Status: Fault, Detail: finding.Err.Error(), Values: map[string]string{"form": finding.Item}}
	fault, ok := errors.AsType[*kingdee.Fault](finding.Err)
	switch {
	case ok:
		item.Cause, item.Values["advice"] = "kingdee-"+fault.Name, fault.Advice
	case finding.Item == "clock":
		item.Cause = "kingdee-time-refused"
	default:
		item.Cause = "kingdee-no-rights"
	}
	return item
}

// remoteCertificate looks when the other side's certificate ends. That it cannot
// be reached is told by the other tests.
func remoteCertificate(ctx context.Context, centre Centre) (Item, bool) {
	u, err := url.Parse(centre.Address)
	if err != nil || u.Scheme != "https" {
		return Item{}, false
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	dialer := tls.Dialer{Config: centre.TLS}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return Item{}, false
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		return Item{}, false
	}
	return ending("certificate", "kingdee-certificate-ends", secure.ConnectionState().PeerCertificates[0].NotAfter, centre.Now()), true
}

// ending judges the age of a certificate: 30, 7 and 1 days before its end.
func ending(check, cause string, end, now time.Time) Item {
	days := int(end.Sub(now).Hours() / 24)
	item := good(check, fmt.Sprintf("until %s, %d days", end.UTC().Format(time.DateOnly), days))
	item.Values = map[string]string{"days": strconv.Itoa(days), "date": end.UTC().Format(time.DateOnly)}
	switch {
	case days < 1:
		item.Status, item.Cause = Fault, cause
	case days <= 30:
		item.Status, item.Cause = Warning, cause
	}
	return item
}
