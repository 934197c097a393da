package checkup

// Words are the texts of one language. It stands here so that checkup need not
// import web.
type Words interface {
	Has(key string) bool
	T(key string, pairs ...string) string
}

// Advice is what is wrong and what to do about it, in words; both empty where
// nothing is. A cause without words gives the peer's own answer and advice.
func (i Item) Advice(words Words) (what, fix string) {
	if i.Cause == "" {
		return "", ""
	}
	var pairs []string
	for name, value := range i.Values {
		pairs = append(pairs, name, value)
	}
	say := func(key, without string) string {
		if words.Has(key) {
			return words.T(key, pairs...)
		}
		return without
	}
	return say("word.cause."+i.Cause, i.Detail), say("word.fix."+i.Cause, i.Values["advice"])
}
