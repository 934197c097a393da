package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// ErrForbiddenAddress is a name that resolved to an address inside the network.
var ErrForbiddenAddress = errors.New("the address is not a public one, and not listed")

// Guard keeps calls to addresses that people configure from reaching into the
// network (T119). It looks at the address that is dialled, after resolution, so
// that neither a spelling nor a changing DNS answer gets around it.
type Guard struct {
	Private []netip.Prefix // what may be called although it is not public
}

// control is net.Dialer.Control.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
	}
	ip := at.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(g.Private, func(p netip.Prefix) bool { return p.Contains(ip) }) {
		return nil
	}
	if !public(ip) {
		return fmt.Errorf("%w: %s", ErrForbiddenAddress, ip)
	}
	return nil
}

// reserved are the special-purpose blocks (RFC 6890) that the methods of
// netip.Addr do not name: shared space, protocol assignments, benchmarks,
// documentation, old relays and mappings, site-local addresses and what lies above multicast.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}
