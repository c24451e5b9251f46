package probe

import (
	"strings"
	"testing"
)

func TestAnswersEndWhereTheySaySo(t *testing.T) {
	cases := map[string]struct {
		text string
		end  state
		keep bool
	}{
		"length":         {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", complete, true},
		"no body":        {"HTTP/1.1 204 No Content\r\n\r\n", complete, true},
		"length 0":       {"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", complete, true},
		"chunked":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok\n\r\n0\r\n\r\n", complete, true},
		"empty chunked":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", complete, true},
		"closing":        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", complete, false},
		"old":            {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", complete, false},
		"old and kept":   {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", complete, true},
		"until close":    {"HTTP/1.1 200 OK\r\n\r\nwhatever", untilClose, false},
		"continued":      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", complete, true},
		"more than that": {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", complete, false},
		"cut off":        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", inBody, true},
		"no HTTP":        {"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n", broken, true},
	}
	for name, each := range cases {
		for _, step := range []int{1, 7, len(each.text)} {
			var a answer
			a.reset()
			for rest := each.text; rest != ""; {
				n := min(step, len(rest))
				a.feed([]byte(rest[:n]))
				rest = rest[n:]
			}
			if a.state != each.end || (each.end == complete && a.keep != each.keep) {
				t.Errorf("%s in pieces of %d: state %d, keep %v; expected %d, %v", name, step, a.state, a.keep, each.end, each.keep)
			}
		}
	}
}

func TestAHeadWithoutEndIsGivenUp(t *testing.T) {
	var a answer
	a.reset()
	a.feed([]byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", mostHead)))
	if a.state != broken {
		t.Errorf("state %d", a.state)
	}
}
