package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// giveBackImage lets go of the pages of the program's own file that the start
// touched and that serving may never need again: packages that prepare
// themselves touch them all over the file. They stay in the system's cache, and
// whatever is needed is mapped again when it is met (madvise(2), MADV_DONTNEED).
// A system that does not answer as expected leaves everything as it is.
func giveBackImage() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = smaps.Close() }() // it was only read
	for _, part := range untouched(smaps, self) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, part.begin, part.end-part.begin, syscall.MADV_DONTNEED) // what is refused stays
	}
}

// span is a part of the address space.
type span struct{ begin, end uintptr }

// untouched are the parts of a process's memory that hold the file as it lies on
// the disk: private, not to be written, and no page of it ever changed, which a
// loader may do before it protects one. Anything else would be lost (proc_pid_smaps(5)).
func untouched(smaps io.Reader, file string) []span {
	var parts []span
	var part span
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		field := strings.Fields(lines.Text())
		switch {
		case len(field) == 0:
		case !strings.HasSuffix(field[0], ":"): // the next mapping
			part = span{}
			if len(field) == 6 && field[5] == file && (field[1] == "r-xp" || field[1] == "r--p") {
				if n, err := fmt.Sscanf(field[0], "%x-%x", &part.begin, &part.end); n != 2 || err != nil {
					part = span{}
				}
			}
		case field[0] == "Anonymous:" && len(field) == 3 && field[1] == "0" && part.begin < part.end:
			parts = append(parts, part)
		}
	}
	return parts
}
