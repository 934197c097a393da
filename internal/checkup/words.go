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

// Told is one test with its words.
type Told struct {
	Item
	What, Fix string
}

// Tell puts words to tests.
func Tell(items []Item, words Words) []Told {
	told := make([]Told, 0, len(items))
	for _, item := range items {
		what, fix := item.Advice(words)
		told = append(told, Told{Item: item, What: what, Fix: fix})
	}
	return told
}

// Mark is the class of the item on a page.
func (t Told) Mark() string { return t.Status.Mark() }

// Mark is the class of a state on a page.
func (s Status) Mark() string {
	switch s {
	case OK:
		return "ok"
	case Fault:
		return "bad"
	case Warning:
		return "warn"
	default:
		return "off"
	}
}
