package session

// Ephemeral are the prefixes of this room's keys. Sessions are of the moment: a
// backup that held them could let somebody back in whose session was ended since.
func Ephemeral() []string { return []string{recordPrefix, indexPrefix, barPrefix} }
