package probe

import (
	"bytes"
	"strconv"
)

// answer reads an HTTP/1.1 answer as far as a prober needs: where it ends, and whether the connection stays.
type answer struct {
	head  []byte
	left  int64 // of the body
	tail  []byte
	state state
	keep  bool
}

type state uint8

const (
	inHead state = iota
	inBody
	inChunks // until the empty chunk
	untilClose
	complete
	broken
)

const mostHead = 64 << 10

var (
	headEnd  = []byte("\r\n\r\n")
	chunkEnd = []byte("\r\n0\r\n\r\n")
)

func (a *answer) reset() {
	a.head, a.tail, a.left, a.state, a.keep = a.head[:0], a.tail[:0], 0, inHead, true
}

// feed takes what arrived; afterwards the state says whether the answer is complete.
func (a *answer) feed(data []byte) {
	for len(data) > 0 {
		switch a.state {
		case inHead:
			data = a.feedHead(data)
		case inBody:
			n := min(int64(len(data)), a.left)
			data, a.left = data[n:], a.left-n
			if a.left == 0 {
				a.state = complete
			}
		case inChunks:
			// Trailers are not asked for, so the empty chunk is the end. Its bytes inside a body would end the answer
			// early, and the rest would be bytes that nobody asked for: the connection is then given up.
			a.tail = append(a.tail, data...)
			data = nil
			if bytes.HasSuffix(a.tail, chunkEnd) {
				a.state = complete
			} else if extra := len(a.tail) - len(chunkEnd); extra > 0 {
				a.tail = append(a.tail[:0], a.tail[extra:]...)
			}
		case untilClose:
			return
		case complete, broken:
			a.keep = false
			return
		}
	}
}

func (a *answer) feedHead(data []byte) []byte {
	before := len(a.head)
	a.head = append(a.head, data...)
	end := bytes.Index(a.head, headEnd)
	if end < 0 {
		if len(a.head) > mostHead {
			a.state = broken
		}
		return nil
	}
	a.readHead(a.head[:end+2])
	return data[end+4-before:]
}

func (a *answer) readHead(head []byte) {
	if len(head) < 14 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		a.state = broken
		return
	}
	a.keep = head[7] == '1'
	status, length, chunked := head[9:12], int64(-1), false
	for line := range bytes.Lines(head) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		value = bytes.ToLower(bytes.TrimSpace(value))
		switch string(bytes.ToLower(name)) {
		case "content-length":
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil {
				length = n
			}
		case "transfer-encoding":
			chunked = bytes.Equal(value, []byte("chunked"))
		case "connection":
			a.keep = !bytes.Equal(value, []byte("close")) && (a.keep || bytes.Equal(value, []byte("keep-alive")))
		}
	}
	switch {
	case status[0] == '1':
		a.head = a.head[:0]
	case string(status) == "204" || string(status) == "304" || length == 0:
		a.state = complete
	case chunked:
		// The line's end that comes before the first chunk belongs to the head.
		a.state, a.tail = inChunks, append(a.tail[:0], "\r\n"...)
	case length > 0:
		a.state, a.left = inBody, length
	default:
		a.state, a.keep = untilClose, false
	}
}
