package dingtalk

import (
	"bytes"
	"fmt"
	"strconv"
)

// number is an integer that the vendor's examples also print in quotes.
// Identities never use it: a userid is text or the answer is refused.
type number int64

// UnmarshalJSON accepts 7200 and "7200".
func (n *number) UnmarshalJSON(data []byte) error {
	v, err := strconv.ParseInt(string(unquoted(data)), 10, 64)
	if err != nil {
		return fmt.Errorf("not a whole number: %w", err)
	}
	*n = number(v)
	return nil
}

// flag is a boolean that the vendor's examples also print in quotes.
type flag bool

// UnmarshalJSON accepts true and "true".
func (f *flag) UnmarshalJSON(data []byte) error {
	switch string(unquoted(data)) {
	case "true":
		*f = true
	case "false":
		*f = false
	default:
		return fmt.Errorf("not a boolean")
	}
	return nil
}

func unquoted(data []byte) []byte {
	data = bytes.TrimSpace(data)
	if len(data) >= 2 && data[0] == '"' && data[len(data)-1] == '"' {
		return data[1 : len(data)-1]
	}
	return data
}
