package gateway

// Ephemeral are the prefixes of keys of this room that are of the moment:
// sign-ins under way, handover tickets, claims of codes. What a person chose
// (choice/) is not one of them.
func Ephemeral() []string { return []string{signInPrefix, handoverPrefix, claimPrefix} }
