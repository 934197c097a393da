// Package feed carries audit records and checkpoints away from where they were
// written: to a syslog receiver (RFC 5424), to a webhook, and to the other
// replicas, so that each of them holds every record and answers alone.
//
// It owns the places (Syslog, Webhook, Exchange), how far each of them has come,
// and that nothing is left out: a record that could not be delivered waits, and
// everything after it too. A record may come twice; its replica and seq tell.
//
// It refuses to hold up the log: records are read from the file after they were
// acknowledged, never on the way of an Append. It refuses to send a webhook to an
// address inside the network that the configuration does not list.
//
//	Log ──► file ──► Feed (cursor) ──► Syslog | Webhook
//	          │
//	          └────► Exchange ──► store ──► Exchange of every other replica ──► its file
package feed
