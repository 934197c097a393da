package mapping

import (
	"cmp"
	"slices"
	"strings"

	"kdgate/identity"
)

// Candidate is a Kingdee staff record that somebody could be.
type Candidate struct {
	StaffNumber string
	Name        string
	Mobile      string
	LoginUser   string // empty: no login user, or not known
}

// Ground is why a suggestion was made.
type Ground string

// The grounds, the strongest first.
const (
	GroundUserID    Ground = "userid"      // the userid is the staff number
	GroundJobNumber Ground = "job_number"  // the job number in DingTalk is the staff number
	GroundMobile    Ground = "mobile_name" // mobile number and name agree
)

// confidence is how sure a ground makes, in percent. Mobile numbers and names
// are what people set themselves, so they never make sure (T22).
var confidence = map[Ground]int{GroundUserID: 90, GroundJobNumber: 85, GroundMobile: 50}

// Suggestion proposes a row for somebody who has none. It is for a person to
// accept or leave: nothing is ever mapped by it alone (F23, T22).
type Suggestion struct {
	Subject     identity.Subject `json:"subject"`
	Name        string           `json:"name"` // in DingTalk
	StaffNumber string           `json:"staff_number"`
	StaffName   string           `json:"staff_name"` // in Kingdee
	LoginUser   string           `json:"login_user,omitempty"`
	Grounds     []Ground         `json:"grounds"`
	Confidence  int              `json:"confidence"`       // percent
	NamesDiffer bool             `json:"names_differ"`     // numbers agree and names do not: look twice
	Rivals      int              `json:"rivals,omitempty"` // other records with a ground as strong
}

// Suggest proposes rows for people without one. taken says which staff numbers
// rows hold. A person with two equally good records gets one suggestion that
// says so.
func Suggest(people []identity.Profile, staff []Candidate, taken func(staffNumber string) bool) []Suggestion {
	byNumber, byMobile := map[string]Candidate{}, map[string][]Candidate{}
	for _, c := range staff {
		if taken(c.StaffNumber) {
			continue
		}
		byNumber[c.StaffNumber] = c
		if mobile := plainMobile(c.Mobile); mobile != "" {
			byMobile[mobile] = append(byMobile[mobile], c)
		}
	}
	var all []Suggestion
	for _, p := range people {
		if s, ok := suggestFor(p, byNumber, byMobile); ok {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Suggestion) int {
		return cmp.Or(b.Confidence-a.Confidence, strings.Compare(a.Subject.UserID, b.Subject.UserID))
	})
	return all
}

// suggestFor weighs the grounds for one person.
func suggestFor(p identity.Profile, byNumber map[string]Candidate, byMobile map[string][]Candidate) (Suggestion, bool) {
	grounds := map[string][]Ground{}
	found := map[string]Candidate{}
	add := func(c Candidate, g Ground) {
		grounds[c.StaffNumber], found[c.StaffNumber] = append(grounds[c.StaffNumber], g), c
	}
	if c, ok := byNumber[p.UserID]; ok {
		add(c, GroundUserID)
	}
	if c, ok := byNumber[p.JobNumber]; ok && p.JobNumber != "" {
		add(c, GroundJobNumber)
	}
	for _, c := range byMobile[plainMobile(p.Mobile)] {
		if p.Mobile != "" && sameName(c.Name, p.Name) {
			add(c, GroundMobile)
		}
	}
	var best Suggestion
	for number, why := range grounds {
		c := found[number]
		s := Suggestion{
			Subject: p.Subject, Name: p.Name, StaffNumber: number, StaffName: c.Name, LoginUser: c.LoginUser,
			Grounds: why, Confidence: weigh(why, sameName(c.Name, p.Name)), NamesDiffer: !sameName(c.Name, p.Name),
		}
		switch {
		case best.Confidence == s.Confidence:
			best.Rivals++
			if s.StaffNumber < best.StaffNumber {
				s.Rivals = best.Rivals
				best = s
			}
		case s.Confidence > best.Confidence:
			best = s
		}
	}
	return best, best.StaffNumber != ""
}

// weigh is the strongest ground, a little surer with each further one, and much
// less sure where the names do not agree.
func weigh(grounds []Ground, namesAgree bool) int {
	sure := 0
	for _, g := range grounds {
		sure = max(sure, confidence[g])
	}
	sure = min(99, sure+3*(len(grounds)-1))
	if namesAgree {
		return min(99, sure+5)
	}
	return sure - 30
}

// sameName compares what people read, not what anybody is known by.
func sameName(a, b string) bool {
	fold := func(s string) string { return strings.ReplaceAll(skeleton(strings.TrimSpace(s)), " ", "") }
	return a != "" && fold(a) == fold(b)
}

// plainMobile is the digits of a number without the country code of the mainland.
func plainMobile(s string) string {
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
	if rest, ok := strings.CutPrefix(digits, "86"); ok && len(rest) == 11 {
		return rest
	}
	return digits
}
