package setup

import "kdgate/internal/checkup"

// kind is how a field is entered.
type kind string

// The kinds of fields.
const (
	text   kind = "text"
	secret kind = "password" // written, never shown
	choice kind = "choice"
	tick   kind = "tick" // "yes" or empty
)

// field is one thing that is asked. Its words are word.setup-field.NAME and, what
// it is and where it is found, word.setup-hint.NAME.
type field struct {
	Name    string
	Kind    kind
	Choices []string
	Default string
	// Key begins what the configuration says of a mistake in it.
	Key string
	// Optional fields may stay empty.
	Optional bool
}

// fields are what each step asks, in order.
var fields = map[checkup.Step][]field{
	checkup.StepAddress: {
		{Name: "public_url", Kind: text, Key: "public_url"},
		{Name: "listen", Kind: text, Default: ":8443", Key: "listen.address"},
		{Name: "cert", Kind: text, Key: "listen.cert", Optional: true},
		{Name: "key", Kind: text, Key: "listen.key", Optional: true},
		{Name: "proxies", Kind: text, Key: "listen.trusted_proxies", Optional: true},
	},
	checkup.StepStore: {
		{Name: "driver", Kind: choice, Choices: []string{"sqlite", "redis"}, Default: "sqlite", Key: "store.driver"},
		{Name: "path", Kind: text, Default: "data/kdgate.db", Key: "store.path", Optional: true},
		{Name: "redis_url", Kind: text, Key: "store.url", Optional: true},
		{Name: "redis_user", Kind: text, Key: "store.username", Optional: true},
		{Name: "redis_password", Kind: secret, Key: "store.password", Optional: true},
	},
	checkup.StepDingTalk: {
		{Name: "corp", Kind: text, Key: "corps[0].id"},
		{Name: "app_key", Kind: text, Key: "corps[0].app_key"},
		{Name: "app_secret", Kind: secret, Key: "corps[0].app_secret"},
		{Name: "agent_id", Kind: text, Key: "corps[0].agent_id"},
	},
	checkup.StepKingdee: {
		{Name: "url", Kind: text, Key: "data_centres[0].url"},
		{Name: "insecure", Kind: tick, Key: "data_centres[0].insecure", Optional: true},
		{Name: "db_id", Kind: text, Key: "data_centres[0].db_id"},
		{Name: "app_id", Kind: text, Key: "data_centres[0].app_id"},
		{Name: "centre_secret", Kind: secret, Key: "data_centres[0].app_secret"},
		{Name: "integration_user", Kind: text, Default: "kdgate", Key: "data_centres[0].integration_user"},
		{Name: "lcid", Kind: choice, Choices: []string{"2052", "3076", "1033"}, Default: "2052", Key: "data_centres[0].lcid"},
		{Name: "staff_number_from", Kind: choice, Choices: []string{"userid", "job_number", "none"}, Default: "job_number", Key: "mapping.staff_number_from"},
	},
}

// sections are the beginnings of the configuration's mistakes that belong to a
// step, beside those of its fields.
var sections = map[checkup.Step][]string{
	checkup.StepAddress:  {"public_url", "listen"},
	checkup.StepStore:    {"store", "seal", "audit"},
	checkup.StepDingTalk: {"corps"},
	checkup.StepKingdee:  {"data_centres", "mapping"},
}

// names are the fields of a step, for reading its form.
func names(step checkup.Step) []string {
	var list []string
	for _, f := range fields[step] {
		list = append(list, f.Name)
	}
	return list
}
