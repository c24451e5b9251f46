package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// mute is a connection that can go silent: it stays open, and nothing more comes in or out. So does a node that dies.
type mute struct {
	net.Conn
	silent atomic.Bool
	seen   []string
}

func (m *mute) Read(into []byte) (int, error) {
	for {
		n, err := m.Conn.Read(into)
		if err != nil || !m.silent.Load() {
			return n, err
		}
	}
}

func (m *mute) Write(from []byte) (int, error) {
	if m.silent.Load() {
		return len(from), nil
	}
	return m.Conn.Write(from)
}

// switchboard keeps the connections of a server and which requests each of them carried.
type switchboard struct {
	net.Listener
	mutex sync.Mutex
	conns []*mute
	count int
}

func (s *switchboard) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	m := &mute{Conn: conn}
	s.conns = append(s.conns, m)
	return m, nil
}

type connKey struct{}

// serve answers every request; silence, which may be nil, is called with the number of each and its connection.
func (s *switchboard) serve(t *testing.T, secure bool, silence func(count int, carrier *mute)) string {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		if inner, isTLS := conn.(*tls.Conn); isTLS {
			conn = inner.NetConn()
		}
		s.mutex.Lock()
		s.count++
		count := s.count
		carrier := conn.(*mute)
		carrier.seen = append(carrier.seen, r.Header.Get("X-Request-Id"))
		s.mutex.Unlock()
		if silence != nil {
			silence(count, carrier)
		}
		_, _ = io.WriteString(w, "ok")
	}))
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetHTTP2(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Listener, server.Listener = server.Listener, s
	if secure {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

var engines = map[string]struct {
	version string
	secure  bool
}{"1.1": {"1.1", false}, "1.1 with TLS": {"1.1", true}, "2": {"2", false}, "2 with TLS": {"2", true}}

func offered(t *testing.T, fields string) (*Recorder, *Session) {
	config, err := readConfig(strings.NewReader(`{"insecure": true, "arrivals": "constant", ` + fields + `}`))
	if err != nil {
		t.Fatal(err)
	}
	session, err := newSession(config, nil, new(atomic.Bool))
	if err != nil {
		t.Fatal(err)
	}
	return session.run(time.Now().Add(10 * time.Millisecond)), session
}

// A Service balances connections, not requests: only new ones reach every server behind it.
func TestConnectionsMakeRoomForNewOnes(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s := &switchboard{}
			url := s.serve(t, engine.secure, nil)
			books, _ := offered(t, `"url": "`+url+`", "http": "`+engine.version+`", "seed": 3, "connections": 8,
				"requests_per_connection": 10, "segments": [{"seconds": 1, "rate": 400}]`)
			if books.counts[ok] != 400 {
				t.Fatalf("%v %v", books.counts, books.errors)
			}
			// By chance there are 40 on average, with a deviation of 6; counted, there are at least as many.
			if len(s.conns) < 16 {
				t.Fatalf("%d connections", len(s.conns))
			}
			lives := map[int]bool{}
			for _, each := range s.conns {
				lives[len(each.seen)] = true
				if name == "1.1" && len(each.seen) > 10 {
					t.Fatalf("a connection carried %d requests", len(each.seen))
				}
			}
			if len(lives) < 4 {
				t.Fatalf("connections end together: lives of %v", lives)
			}
		})
	}
}

func TestRetriesLeaveConnectionsThatWentSilent(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			s := &switchboard{}
			url := s.serve(t, engine.secure, func(count int, carrier *mute) {
				if count != 30 {
					return
				}
				s.mutex.Lock()
				defer s.mutex.Unlock()
				for index, each := range s.conns {
					each.silent.Store(index%2 == 0 || each == carrier)
				}
			})
			books, _ := offered(t, `"url": "`+url+`", "http": "`+engine.version+`", "connections": 8, "deadline_seconds": 60,
				"attempt_seconds": 1, "retries": 20, "retry_budget": 1, "segments": [{"seconds": 1.5, "rate": 60}]`)
			if books.counts[ok] != 90 || books.first[ok]+books.first[timedOut]+books.first[failed] != 90 {
				t.Fatalf("%v, first attempts %v: %v", books.counts, books.first, books.errors)
			}
			if books.first[timedOut] == 0 || books.retries < books.first[timedOut] {
				t.Fatalf("first attempts %v, %d retries", books.first, books.retries)
			}
			for _, each := range s.conns {
				for place, id := range each.seen {
					if place > 0 && !strings.HasSuffix(id, "-0") {
						t.Fatalf("the retry %s went over a connection that had carried %s", id, each.seen[0])
					}
				}
			}
		})
	}
}

// deaf listens, and its queue is full: whoever connects hears nothing, as from a node that is cut off.
func deaf(t *testing.T) address {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	place := net.JoinHostPort("127.0.0.1", strconv.Itoa(bound.(*syscall.SockaddrInet4).Port))
	for {
		conn, err := net.DialTimeout("tcp", place, 300*time.Millisecond)
		if err != nil {
			return address{syscall.AF_INET, bound, place}
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

func TestRetriesLeaveServersThatCannotBeConnectedTo(t *testing.T) {
	s := &switchboard{}
	url := s.serve(t, false, nil)
	config, err := readConfig(strings.NewReader(`{"url": "` + url + `", "arrivals": "constant", "connection": "new", "deadline_seconds": 60,
		"attempt_seconds": 0.2, "retries": 20, "retry_budget": 1, "segments": [{"seconds": 0.5, "rate": 100}]}`))
	if err != nil {
		t.Fatal(err)
	}
	session, err := newSession(config, nil, new(atomic.Bool))
	if err != nil {
		t.Fatal(err)
	}
	// As behind a Service that does not know yet: a third of the new connections goes to a server that is gone.
	to := session.runners[0].(*loop).target
	to.addresses = append(to.addresses, to.addresses[0], deaf(t))
	books := session.run(time.Now().Add(10 * time.Millisecond))
	if books.counts[ok] != 50 || books.first[ok] == 0 || books.first[timedOut] == 0 || books.retries < books.first[timedOut] {
		t.Fatalf("%v, first attempts %v, %d retries: %v", books.counts, books.first, books.retries, books.errors)
	}
}

func TestAFreezeShowsInP99(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			var gate sync.RWMutex
			s := &switchboard{}
			url := s.serve(t, engine.secure, func(count int, _ *mute) {
				if count != 100 {
					gate.RLock()
					defer gate.RUnlock()
					return
				}
				gate.Lock()
				time.Sleep(500 * time.Millisecond)
				gate.Unlock()
			})
			books, _ := offered(t, `"url": "`+url+`", "http": "`+engine.version+`", "connections": 8, "deadline_seconds": 60,
				"segments": [{"seconds": 2, "rate": 200}]`)
			// A quarter of the requests were due meanwhile: the slowest hundredth waited nearly all of it.
			if p99 := books.latency.total().ValueAtQuantile(99); books.counts[ok] != 400 || p99 < 400_000 {
				t.Fatalf("p99 %d µs, %v %v", p99, books.counts, books.errors)
			}
		})
	}
}

func TestSegmentsHaveHistogramsOfTheirOwn(t *testing.T) {
	s := &switchboard{}
	url := s.serve(t, false, nil)
	books, _ := offered(t, `"url": "`+url+`", "segments": [{"seconds": 0.2, "rate": 100}, {"seconds": 0.1, "rate": 0}, {"seconds": 0.1, "rate": 500}]`)
	found, err := books.histograms()
	if err != nil {
		t.Fatal(err)
	}
	for index, expected := range []int64{20, 0, 50} {
		if count := books.latency.segments[index].TotalCount(); count != expected {
			t.Fatalf("segment %d holds %d", index, count)
		}
	}
	if len(found) != 12 || books.latency.total().TotalCount() != 70 {
		t.Fatalf("%d histograms, %d in all", len(found), books.latency.total().TotalCount())
	}
}

func TestDenseSchedulesAreServedInTurns(t *testing.T) {
	s := &switchboard{}
	url := s.serve(t, false, nil)
	books, session := offered(t, `"url": "`+url+`", "deadline_seconds": 60, "segments": [{"seconds": 0.1, "rate": 60000}, {"seconds": 0.1, "rate": 100}]`)
	if ledger := books.ledger(); ledger != (Ledger{Scheduled: 6010, OK: 6010}) {
		t.Fatalf("%+v %v", ledger, books.errors)
	}
	if gap := session.schedule.stream(false, 0, 0, 4).gap(); math.Abs(gap-4e9/60_000) > 1 {
		t.Fatalf("one of four streams has a request every %g ns", gap)
	}
}

func TestTheListOfUnansweredRequestsIsBoundedAndComplete(t *testing.T) {
	config := &Config{Segments: []Segment{{10, 3000}}, Window: 1, Deadline: 1}
	one, other := newRecorder(config, newNames(), nil), newRecorder(config, newNames(), nil)
	schedule := newSchedule(config.Segments)
	for index, recorder := range []*Recorder{one, other} {
		stream := schedule.stream(false, 0, index, 2)
		first, _ := stream.next()
		recorder.abandon(stream, first, uint64(index), 2)
	}
	one.merge(other)
	if ledger := one.ledger(); ledger != (Ledger{Scheduled: 30_000, NeverSent: 30_000}) {
		t.Fatalf("%+v", ledger)
	}
	if len(one.unanswered) != mostUnanswered || one.truncated != 10_000 {
		t.Fatalf("%d listed, %d not", len(one.unanswered), one.truncated)
	}
	for number, each := range one.unanswered {
		if each != (Unanswered{uint64(number), uint64(neverSent)}) {
			t.Fatalf("%v in place %d", each, number)
		}
	}
}
