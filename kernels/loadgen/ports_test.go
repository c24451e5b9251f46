package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// waiting counts the sockets that keep their port although they are closed, on the side that connected to port.
func waiting(t *testing.T, port int) int {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("this machine does not list its sockets")
	}
	count := 0
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 3 && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) && fields[3] == "06" {
			count++
		}
	}
	return count
}

// At 1000 connections a second the ports of a machine would be used up within half a minute.
func TestClosedConnectionsGiveTheirPortsBack(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("answer ", 2000))
	}))
	defer server.Close()
	books, session := offered(t, `"url": "`+server.URL+`", "connection": "new", "segments": [{"seconds": 0.5, "rate": 400}]`)
	if l := books.ledger(); l.OK != 200 || l.Scheduled != 200 || session.connections().Opened < 200 {
		t.Fatalf("ledger %+v, %d connections", l, session.connections())
	}
	var port int
	if _, err := fmt.Sscanf(server.URL, "http://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	if count := waiting(t, port); count > 0 {
		t.Errorf("%d of 200 closed connections keep their ports", count)
	}
}
