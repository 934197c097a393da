package notice

import (
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
)

// Way is how an address is reached.
type Way string

// The ways.
const (
	WayPerson     Way = "user"  // a userid, by work notification
	WayDepartment Way = "dept"  // everybody of a department and below it
	WayRole       Way = "role"  // the console's administrators of a role
	WayRobot      Way = "robot" // a group, by the name of its robot in the configuration
	WayMail       Way = "mail"
)

// Address is somebody who is told, written WAY:WHO; a bare WHO is a userid.
type Address struct {
	Way Way
	Who string
}

// ErrAddress is a text that is no address.
var ErrAddress = errors.New("notice: not an address")

// maxWho bounds an address in bytes.
const maxWho = 254

// ParseAddress reads what String wrote: zhangsan, user:zhangsan, dept:12,
// role:mapping-admin, robot:ops or mail:ops@example.com.
func ParseAddress(text string) (Address, error) {
	way, who, found := strings.Cut(text, ":")
	if !found {
		way, who = string(WayPerson), text
	}
	a := Address{Way(way), who}
	if err := a.check(); err != nil {
		return Address{}, fmt.Errorf("%w: %.60q: %w", ErrAddress, text, err)
	}
	return a, nil
}

// ParseAddresses reads a list; every mistake is in the error.
func ParseAddresses(texts []string) ([]Address, error) {
	var list []Address
	var errs []error
	for _, text := range texts {
		a, err := ParseAddress(text)
		errs = append(errs, err)
		list = append(list, a)
	}
	return list, errors.Join(errs...)
}

func (a Address) check() error {
	if a.Who == "" || len(a.Who) > maxWho || strings.ContainsFunc(a.Who, func(r rune) bool { return r <= ' ' || r == 0x7f || r == ',' || r == 0xFFFD }) {
		return errors.New("who is missing, too long, or holds spaces or commas")
	}
	switch a.Way {
	case WayPerson, WayRole, WayRobot:
		return nil
	case WayDepartment:
		if id, err := strconv.ParseInt(a.Who, 10, 64); err != nil || id <= 0 || strconv.FormatInt(id, 10) != a.Who {
			return errors.New("a department is a number")
		}
		return nil
	case WayMail:
		if parsed, err := mail.ParseAddress(a.Who); err != nil || parsed.Address != a.Who {
			return errors.New("not a mail address")
		}
		return nil
	}
	return errors.New("want user:, dept:, role:, robot: or mail: in front")
}

// String is the address as configurations write it.
func (a Address) String() string { return string(a.Way) + ":" + a.Who }

// open reports whether nobody can say who reads there (F73).
func (a Address) open() bool { return a.Way == WayRobot || a.Way == WayDepartment }

// MarshalText writes String.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads String.
func (a *Address) UnmarshalText(text []byte) error {
	parsed, err := ParseAddress(string(text))
	*a = parsed
	return err
}

// hop is one way with everybody on it: what one letter is sent by.
type hop struct {
	Way Way      `json:"way"` // person stands for people and departments: a work notification
	Who []string `json:"who"` // userids, one robot, or mail addresses

	Departments []int64 `json:"departments,omitempty"`
}

// String names the hop for people.
func (h hop) String() string {
	list := slices.Clone(h.Who)
	for _, id := range h.Departments {
		list = append(list, "dept:"+strconv.FormatInt(id, 10))
	}
	return string(h.Way) + ":" + strings.Join(list, ",")
}
