package proxy

// Ephemeral are the prefixes of this room's keys: which Kingdee session belongs
// to which of ours, and sessions are of the moment.
func Ephemeral() []string { return []string{bindingPrefix} }
