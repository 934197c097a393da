// Package setup is the wizard of kdgate setup: a few local pages on which an
// administrator who has the binary and the credentials of both vendors, and no
// configuration yet, comes to a gateway that runs (F32, F96).
//
// It owns the draft (what was entered so far, in a file of mode 0600 beside the
// configuration to be, so that a half-done set-up is continued), the door to the
// pages, the gateway on trial, and the writing of kdgate.yaml with its secret
// files. What is tested and what a fault means is package checkup's; what a key
// means and whether a value fits is package config's, which reads the draft just
// as it will read the file.
//
//	address ─► store ─► dingtalk ─► kingdee ─► login (gateway on trial) ─► start
//	   each: entered ─► held to the configuration's rules ─► tested at the peer
//
// It refuses to listen off loopback, to answer under a name that is not
// loopback's (DNS rebinding), to let anybody in without the token that was
// printed, which is good once, to show a secret again, and to write over a file
// that is there. The gateway on trial keeps its state in a folder of its own that
// is removed; nothing of the installation exists before the last step.
package setup
