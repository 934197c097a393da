package audit

import "fmt"

// sayWhatWasDone writes down, plainly, how far this run's word reaches (F42).
func (v *verification) sayWhatWasDone() {
	checked := func(words string) { v.report.Checked = append(v.report.Checked, words) }
	open := func(words string) { v.report.NotProven = append(v.report.NotProven, words) }

	checked("each record's text gives its hash, each record names the one before it, no number is missing or doubled")
	if v.mac != nil {
		checked("each record was written with the key (MAC)")
	} else {
		open("without the key: that the records were written by the gateway. Whoever can write the file can rewrite it whole, with fitting hashes")
	}
	switch {
	case v.report.Checkpoints == 0:
		open("there was no checkpoint to hold the records against")
	case v.public == nil:
		open("without the key or the public key: that the checkpoints were signed by the gateway")
	default:
		checked("the checkpoints were signed by the gateway, and the records they name are the ones in the file")
	}
	if v.config.Anchor == "" {
		open("without the anchor: that nothing was cut off at the end, and that this is not an older copy of the file")
	} else {
		checked("the file reaches as far as the anchor's newest checkpoint")
		open("that the anchor itself is complete: its newest checkpoint should be as recent as you expect (see the chains)")
	}
	if v.indexes {
		checked("the file's pages and indexes are sound: a search finds what the file holds")
	} else {
		open("the indexes were not checked: a search might leave out records that are in the file (an export does not)")
	}
	v.sayWhatIsOpen(open)
}

func (v *verification) sayWhatIsOpen(open func(string)) {
	for _, c := range v.report.Chains {
		if rest := c.Last - min(c.Last, c.Sworn); rest > 0 {
			open(fmt.Sprintf("the last %d records of %s are newer than every checkpoint: had more been cut off behind them, it would not show", rest, c.Replica))
		}
		if c.ClockSteps > 0 {
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s: the clock went back %d times; numbers, not times, give the order", c.Replica, c.ClockSteps))
		}
		if c.Trimmed > 0 {
			v.report.Notes = append(v.report.Notes, fmt.Sprintf("%s: records up to %d were removed by retention, as a signed statement says", c.Replica, c.Trimmed))
		}
	}
	open("that what the gateway wrote was true, or that it wrote down everything: whoever holds the key and the host at the time can write what they like from then on")
}
