package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"kdgate/store"
)

// What a reply may announce at most. go-redis allocates and recurses as a reply
// tells it to, so one header of a Redis that is hostile, or of a stream that has
// lost step, would otherwise end the process.
const (
	guardLine  = 64 << 10            // bytes of a line
	guardBulk  = store.MaxValue << 1 // bytes of a string: a value, its envelope, and room
	guardItems = 1 << 16             // items of an array: the slots of a shattered cluster, and room
	guardDepth = 16                  // arrays within arrays
)

var errGuard = errors.New("redisstore: the reply is not one Redis gives us")

// guard follows the framing of replies as they are read: RESP2, and RESP3 too,
// which go-redis cannot be kept from speaking to sentinels.
type guard struct {
	skip    int    // bytes of a string still to come, its line end included
	line    []byte // beginning of a header that came in pieces
	left    []int  // items still to come, per open array
	refused error  // the verdict once it is known
}

// check looks at the next bytes of the stream. A stream once refused stays so:
// nothing after that can be told apart.
func (g *guard) check(p []byte) error {
	if g.refused == nil {
		g.refused = g.follow(p)
	}
	return g.refused
}

func (g *guard) follow(p []byte) error {
	for len(p) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(p))
			g.skip -= n
			p = p[n:]
			continue
		}
		end := bytes.IndexByte(p, '\n')
		part := p[:end+1]
		if end < 0 {
			part = p
		}
		if len(g.line)+len(part) > guardLine {
			return fmt.Errorf("%w: a line of over %d bytes", errGuard, guardLine)
		}
		if end < 0 {
			g.line = append(g.line, part...)
			return nil
		}
		line := part
		if len(g.line) > 0 {
			line = append(g.line, part...)
			g.line = g.line[:0]
		}
		if err := g.header(bytes.TrimRight(line, "\r\n")); err != nil {
			return err
		}
		p = p[end+1:]
	}
	return nil
}

// header takes one line: a whole reply, or the head of a string or an array.
func (g *guard) header(line []byte) error {
	if len(line) == 0 {
		return fmt.Errorf("%w: an empty line", errGuard)
	}
	switch line[0] {
	case '+', '-', ':', '_', '#', ',', '(':
		g.item()
		return nil
	case '$', '!', '=':
		n, err := size(line, guardBulk)
		if n >= 0 {
			g.skip = n + len("\r\n")
		}
		g.item()
		return err
	case '*', '~', '>':
		return g.array(line, 1)
	case '%':
		return g.array(line, 2)
	default: // attributes ('|') too: go-redis recurses on each, and Redis sends none
		return fmt.Errorf("%w: it begins with byte %#x", errGuard, line[0])
	}
}

// array takes the head of an array, each entry of which is so many items.
func (g *guard) array(line []byte, width int) error {
	n, err := size(line, guardItems)
	if err != nil {
		return err
	}
	if n <= 0 {
		g.item()
		return nil
	}
	if len(g.left) == guardDepth {
		return fmt.Errorf("%w: arrays nested over %d deep", errGuard, guardDepth)
	}
	g.left = append(g.left, n*width)
	return nil
}

// size reads the number of a head, -1 for nil.
func size(line []byte, most int) (int, error) {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 || n > most {
		return -1, fmt.Errorf("%w: a size of %.20q, at most %d", errGuard, line[1:], most)
	}
	return n, nil
}

// item notes that one item is complete, and the arrays that it completes.
func (g *guard) item() {
	for len(g.left) > 0 {
		last := len(g.left) - 1
		g.left[last]--
		if g.left[last] > 0 {
			return
		}
		g.left = g.left[:last]
	}
}
