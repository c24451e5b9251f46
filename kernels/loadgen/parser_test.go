package main

import (
	"strings"
	"testing"
)

// Every answer must be understood the same however the network cuts it.
func TestAnswersAreReadHoweverTheyAreCut(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		state  parseState
		status int
		keep   bool
		server string
	}{
		"length":     {"HTTP/1.1 200 OK\r\ncontent-LENGTH: 5\r\nX-Served-By: a1\r\n\r\nhello", complete, 200, true, "a1"},
		"empty":      {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", complete, 503, false, ""},
		"chunked":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nWiki\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n", complete, 200, true, ""},
		"no content": {"HTTP/1.1 204 No Content\r\n\r\n", complete, 204, true, ""},
		"continue":   {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", complete, 200, true, ""},
		"old":        {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", complete, 200, false, ""},
		"old, kept":  {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", complete, 200, true, ""},
		"to the end": {"HTTP/1.1 200 OK\r\n\r\nwhatever", untilClose, 200, false, ""},
		"half":       {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", inBody, 200, true, ""},
		"too much":   {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxx", complete, 200, false, ""},
		"not HTTP":   {"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", malformed, 0, false, ""},
		"bad length": {"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n", malformed, 0, true, ""},
		"bad chunk":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", malformed, 200, true, ""},
	} {
		for step := 1; step <= len(c.text); step++ {
			p := parser{servers: "x-served-by"}
			p.reset()
			for at := 0; at < len(c.text); at += step {
				p.feed([]byte(c.text[at:min(at+step, len(c.text))]))
			}
			if p.state != c.state || p.status != c.status && c.state != malformed || string(p.server) != c.server {
				t.Fatalf("%s in steps of %d: state %d status %d server %q", name, step, p.state, p.status, p.server)
			}
			if c.state != malformed && p.keep != c.keep {
				t.Fatalf("%s in steps of %d: keep is %v", name, step, p.keep)
			}
		}
	}
}

func TestAnEndlessHeadIsGivenUp(t *testing.T) {
	p := parser{}
	p.reset()
	for range 100 {
		p.feed([]byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1000)))
	}
	if p.state != malformed {
		t.Fatalf("state %d", p.state)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		whole, parts := parser{}, parser{}
		whole.reset()
		parts.reset()
		whole.feed(data)
		cut = max(0, min(cut, len(data)))
		parts.feed(data[:cut])
		parts.feed(data[cut:])
		if whole.state != malformed && (whole.state != parts.state || whole.status != parts.status) {
			t.Fatalf("cut at %d: %d %d against %d %d", cut, parts.state, parts.status, whole.state, whole.status)
		}
	})
}
