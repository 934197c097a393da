package kingdee

import (
	"encoding/json"
)

// loginBody writes the parameters, which are positional, as the server takes
// them: every version takes the array (reference 2.2).
func loginBody(form LoginBody, parameters []string) []byte {
	switch form {
	case LoginText:
		return loginTextParameters(parameters)
	case LoginNamed:
		return loginNamed(parameters)
	default:
		return loginParameters(parameters)
	}
}

// loginParameters is envelope (b): parameters as an array.
func loginParameters(parameters []string) []byte {
	body, err := json.Marshal(struct {
		Parameters []string `json:"parameters"`
	}{parameters})
	if err != nil { // strings always marshal
		return nil
	}
	return body
}

// loginTextParameters is envelope (a′): the array as JSON text.
func loginTextParameters(parameters []string) []byte {
	inner, err := json.Marshal(parameters)
	if err != nil { // strings always marshal
		return nil
	}
	body, err := json.Marshal(struct {
		Parameters string `json:"parameters"`
	}{string(inner)})
	if err != nil {
		return nil
	}
	return body
}

// loginNamed is LoginBySign by names, with numbers where the manual's sample has
// them. The order is that of loginCall.
func loginNamed(p []string) []byte {
	body, err := json.Marshal(struct {
		AcctID    string      `json:"acctID"`
		Username  string      `json:"username"`
		AppID     string      `json:"appId"`
		Timestamp json.Number `json:"timestamp"`
		Sign      string      `json:"sign"`
		LCID      json.Number `json:"lcid"`
	}{p[0], p[1], p[2], json.Number(p[3]), p[4], json.Number(p[5])})
	if err != nil {
		return nil
	}
	return body
}
