// Package localapi is the door through which commands on this machine reach a
// running gateway: the embedded store has one owner, so what reads or changes
// state asks that owner. It owns the routes, their JSON, the client, and the
// file of mode 0600 in the data folder that says where the door is and what
// opens it; the same handler serves a command that finds no gateway. It refuses
// everybody without the token and every caller from another machine, and its
// client refuses to show the token to whatever cannot prove that it knows it.
package localapi
