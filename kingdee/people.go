package kingdee

import (
	"context"
	"slices"
	"strings"

	"kdgate/identity"
)

// StaffByNumber asks for the staff records (员工) that carry exactly this number:
// none is an empty result, several come as they are and the caller refuses them.
// The number is checked before anything is asked: [0-9A-Za-z_-]{1,64}, otherwise
// Invalid with KD-202. Every other error means that Kingdee could not be asked
// (KD-401) or that an administrator must act (KD-402).
func (c *Client) StaffByNumber(ctx context.Context, number string) ([]Staff, error) {
	if err := checkNumber(number); err != nil {
		return nil, err
	}
	k := c.cfg.Users.Staff
	keys := []string{k.ID, k.Number, k.Name, k.ForbidStatus, k.DocumentStatus}
	if k.Person != "" {
		keys = append(keys, k.Person)
	}
	rows, err := c.lookup(ctx, k.Form, keys, equals(k.Number, number))
	if err != nil {
		return nil, err
	}
	found := make([]Staff, 0, len(rows))
	for _, row := range rows {
		staff := Staff{
			ID: string(row[0]), Number: string(row[1]), Name: string(row[2]),
			Forbidden: forbidden(row[3]), Approved: row[4] == "C",
		}
		if k.Person != "" {
			staff.PersonID = internalID(row[5])
		}
		if staff.Number == number { // the database may have compared without case or trailing spaces (T15)
			found = append(found, staff)
		}
	}
	return found, nil
}

// UsersOfStaff asks for the login users of a staff record by the configured
// route: none is an empty result, several come as they are. Two persons behind
// one number are KD-208.
func (c *Client) UsersOfStaff(ctx context.Context, staff Staff) ([]User, error) {
	if err := checkNumber(staff.Number); err != nil {
		return nil, err
	}
	switch c.cfg.Users.Route {
	case RouteEmployee:
		return c.usersOfEmployee(ctx, staff)
	case RouteUser:
		return c.users(ctx, equals(c.cfg.Users.User.LinkNumber, staff.Number))
	default:
		return c.usersOfPerson(ctx, staff)
	}
}

// usersOfPerson is route R3: post records → person → users. Several posts are
// normal, and lead to one person.
func (c *Client) usersOfPerson(ctx context.Context, staff Staff) ([]User, error) {
	person := staff.PersonID
	if person == "" {
		k := c.cfg.Users.Post
		rows, err := c.lookup(ctx, k.Form, []string{k.ID, k.PersonNumber, k.Person}, equals(k.PersonNumber, staff.Number))
		if err != nil {
			return nil, err
		}
		persons := distinct(rows, 1, 2, staff.Number, internalID)
		switch len(persons) {
		case 0:
			return []User{}, nil
		case 1:
			person = persons[0]
		default:
			return nil, identity.Fail(identity.Conflict, identity.CodeManyStaff, "kingdee: %d persons carry one staff number", len(persons))
		}
	}
	if !cleanToken(person) {
		return nil, newFault(unexpected, c.cfg.Users.Post.Form, "person id is no id").public()
	}
	return c.users(ctx, equals(c.cfg.Users.User.Link, person))
}

// usersOfEmployee is route R1: the employee names its users; their state is then
// read from the users themselves, which R1 alone does not tell.
func (c *Client) usersOfEmployee(ctx context.Context, staff Staff) ([]User, error) {
	k := c.cfg.Users.Staff
	rows, err := c.lookup(ctx, k.Form, []string{k.ID, k.Number, k.UserName}, equals(k.Number, staff.Number))
	if err != nil {
		return nil, err
	}
	all := []User{}
	for _, name := range distinct(rows, 1, 2, staff.Number, func(s scalar) string { return string(s) }) {
		users, err := c.UserByName(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, users...)
	}
	return all, nil
}

// UserByName asks for the login users whose 用户名称 is exactly name. Names hold
// Chinese, spaces and full-width brackets, and travel as a JSON value in the
// array form. What the server makes of a quote inside such a value is not
// published, so a name with one is refused (KD-402) rather than escaped by guess.
func (c *Client) UserByName(ctx context.Context, name string) ([]User, error) {
	if !plainText(name, 128) || strings.ContainsAny(name, `'"\;`) {
		return nil, identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup, "kingdee: a login user's name cannot be asked for safely: quotes, backslashes, semicolons and control characters are refused; rename the user")
	}
	found, err := c.users(ctx, equals(c.cfg.Users.User.Name, name))
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(u User) bool { return u.Name != name }), nil
}

func (c *Client) users(ctx context.Context, filter condition) ([]User, error) {
	k := c.cfg.Users.User
	rows, err := c.lookup(ctx, k.Form, []string{k.ID, k.Name, k.Account, k.ForbidStatus, k.Locked}, filter)
	if err != nil {
		return nil, err
	}
	found := make([]User, 0, len(rows))
	for _, row := range rows {
		found = append(found, User{
			ID: string(row[0]), Name: string(row[1]), Account: string(row[2]),
			Forbidden: forbidden(row[3]), Locked: locked(row[4]),
		})
	}
	return found, nil
}

// checkNumber is the gate in front of every query by staff number (T27).
func checkNumber(number string) error {
	if cleanToken(number) {
		return nil
	}
	return identity.Fail(identity.Invalid, identity.CodeNoStaff, "kingdee: a staff number may hold letters, digits, _ and - only (1 to 64); nothing was asked")
}

// distinct gives the non-empty values of one column, each once, of the rows
// whose key column is exactly key.
func distinct(rows [][]scalar, keyColumn, column int, key string, read func(scalar) string) []string {
	var found []string
	for _, row := range rows {
		value := read(row[column])
		if string(row[keyColumn]) == key && value != "" && !slices.Contains(found, value) {
			found = append(found, value)
		}
	}
	return found
}

// internalID reads a reference; Kingdee writes 0 or a blank where there is none.
func internalID(s scalar) string {
	id := strings.TrimSpace(string(s))
	if id == "0" {
		return ""
	}
	return id
}

// forbidden fails closed: only A is known to be in use.
func forbidden(status scalar) bool { return status != "A" }

// locked fails closed: only what plainly says no, or nothing, is not locked.
func locked(flag scalar) bool {
	return flag != "" && flag != "0" && !strings.EqualFold(string(flag), "false")
}
