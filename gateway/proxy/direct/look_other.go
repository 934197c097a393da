//go:build !unix

package direct

import "net"

// look cannot be done here, so no connection is kept.
type look struct{}

func (*look) at(net.Conn)    {}
func (*look) possible() bool { return false }
func (*conn) quiet() bool    { return false }
