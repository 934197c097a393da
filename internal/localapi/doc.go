// Package localapi is the door through which commands on this machine reach a
// running gateway: the embedded store has one owner, so what reads or changes
// state asks that owner. It owns the routes, their JSON and the client; the
// same handler serves a command that finds no gateway, without a network. It
// refuses everybody without the token, which stands in a file of mode 0600.
package localapi
