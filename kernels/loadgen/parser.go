package main

import (
	"bytes"
	"strconv"
)

// An answer is read only as far as this generator needs: where it ends, its status, who gave it, whether the
// connection stays. Bodies are counted off and dropped.
type parser struct {
	state   parseState
	left    int64 // of the body, or of the chunk
	status  int
	keep    bool
	begun   bool // at least one byte of the answer arrived
	head    []byte
	chunk   []byte // the line that is being gathered
	server  []byte
	noBody  bool // the answer to a HEAD request has none, whatever it announces
	servers string
}

type parseState uint8

const (
	inHead parseState = iota
	inBody
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
	untilClose
	complete
	malformed
)

const mostHead = 64 << 10

var headEnd = []byte("\r\n\r\n")

func (p *parser) reset() {
	p.state, p.left, p.status, p.keep, p.begun = inHead, 0, 0, true, false
	p.head, p.chunk, p.server = p.head[:0], p.chunk[:0], p.server[:0]
}

// feed takes what arrived; afterwards state says whether the answer is complete.
func (p *parser) feed(data []byte) {
	for len(data) > 0 {
		p.begun = true
		switch p.state {
		case inHead:
			data = p.feedHead(data)
		case inBody:
			n := min(int64(len(data)), p.left)
			data, p.left = data[n:], p.left-n
			if p.left == 0 {
				p.state = complete
			}
		case inChunk:
			n := min(int64(len(data)), p.left)
			data, p.left = data[n:], p.left-n
			if p.left == 0 {
				p.state = inChunkEnd
			}
		case inChunkSize, inChunkEnd, inTrailer:
			data = p.feedLine(data)
		case untilClose:
			return
		case complete, malformed:
			// Bytes that nobody asked for: this connection cannot be trusted with another request.
			p.keep = false
			return
		}
	}
}

func (p *parser) feedHead(data []byte) []byte {
	if len(p.head) == 0 {
		if end := bytes.Index(data, headEnd); end >= 0 {
			p.readHead(data[:end+2])
			return data[end+4:]
		}
	}
	from := max(0, len(p.head)-3)
	before := len(p.head)
	p.head = append(p.head, data...)
	end := bytes.Index(p.head[from:], headEnd)
	if end < 0 {
		if len(p.head) > mostHead {
			p.state = malformed
		}
		return nil
	}
	end += from
	rest := data[end+4-before:]
	p.readHead(p.head[:end+2])
	p.head = p.head[:0]
	return rest
}

// readHead reads a status line and headers, each ended by CRLF.
func (p *parser) readHead(head []byte) {
	if len(head) < 14 || string(head[:7]) != "HTTP/1." || head[8] != ' ' {
		p.state = malformed
		return
	}
	status := int(head[9]-'0')*100 + int(head[10]-'0')*10 + int(head[11]-'0')
	if status < 100 || status > 999 {
		p.state = malformed
		return
	}
	p.keep = head[7] != '0'
	length, chunked := int64(-1), false
	line := head[bytes.IndexByte(head, '\n')+1:]
	for len(line) > 0 {
		end := bytes.IndexByte(line, '\n')
		name, value, _ := bytes.Cut(line[:end], []byte{':'})
		line = line[end+1:]
		switch {
		case equal(name, "content-length"):
			n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 63)
			if err != nil || n < 0 {
				p.state = malformed
				return
			}
			length = n
		case equal(name, "transfer-encoding"):
			chunked = equal(bytes.TrimSpace(value), "chunked")
		case equal(name, "connection"):
			value = bytes.TrimSpace(value)
			p.keep = (p.keep || equal(value, "keep-alive")) && !equal(value, "close")
		case p.servers != "" && equal(name, p.servers):
			p.server = append(p.server[:0], bytes.TrimSpace(value)...)
		}
	}
	switch {
	case status < 200 && status != 101:
		p.state = inHead
		return
	case p.noBody || status == 204 || status == 304:
		p.state = complete
	case chunked:
		p.state = inChunkSize
	case length > 0:
		p.state, p.left = inBody, length
	case length == 0:
		p.state = complete
	default:
		p.state, p.keep = untilClose, false
	}
	p.status = status
}

func (p *parser) feedLine(data []byte) []byte {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		p.chunk = append(p.chunk, data...)
		if len(p.chunk) > mostHead {
			p.state = malformed
		}
		return nil
	}
	p.chunk = append(p.chunk, data[:end]...)
	line := bytes.TrimSpace(p.chunk)
	p.chunk = p.chunk[:0]
	switch p.state {
	case inChunkEnd:
		p.state = inChunkSize
	case inTrailer:
		if len(line) == 0 {
			p.state = complete
		}
	default:
		size, _, _ := bytes.Cut(line, []byte{';'})
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 63)
		switch {
		case err != nil || n < 0:
			p.state = malformed
		case n == 0:
			p.state = inTrailer
		default:
			p.state, p.left = inChunk, n
		}
	}
	return data[end+1:]
}

// equal compares with a name in lower case, whatever the case of b.
func equal(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
