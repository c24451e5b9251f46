package main

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type seen struct {
	mutex sync.Mutex
	ids   map[string]int
	major int
	bytes int
}

func (s *seen) handler(fail func(id string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id := r.Header.Get("X-Request-Id")
		s.mutex.Lock()
		s.ids[id]++
		s.major, s.bytes = r.ProtoMajor, len(body)
		s.mutex.Unlock()
		if fail(id) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("X-Served-By", "node-a")
		_, _ = io.WriteString(w, strings.Repeat("answer ", 2000))
	})
}

func TestBothEnginesKeepTheSameBooks(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		major   int
		tls     bool
	}{"1.1": {"1.1", 1, false}, "2 without TLS": {"2", 2, false}, "1.1 with TLS": {"1.1", 1, true}, "2 with TLS": {"2", 2, true}} {
		t.Run(name, func(t *testing.T) {
			s := &seen{ids: map[string]int{}}
			// Every first attempt whose number ends in 3 fails, and its retry succeeds.
			server := httptest.NewUnstartedServer(s.handler(func(id string) bool { return strings.HasSuffix(id, "3-0") }))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetHTTP2(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			if c.tls {
				server.EnableHTTP2 = true
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			config, err := readConfig(strings.NewReader(`{"url": "` + server.URL + `/x?y=1", "http": "` + c.version + `",
				"method": "POST", "body_bytes": 100000, "segments": [{"seconds": 0.5, "rate": 200}], "arrivals": "constant",
				"retries": 1, "retry_budget": 1, "connections": 4, "insecure": true, "loops": 2, "deadline_seconds": 60}`))
			if err != nil {
				t.Fatal(err)
			}
			session, err := newSession(config, nil, new(atomic.Bool))
			if err != nil {
				t.Fatal(err)
			}
			books := session.run(time.Now().Add(10 * time.Millisecond))
			ledger := books.ledger()
			if ledger != (Ledger{Scheduled: 100, OK: 100}) || !ledger.closes() {
				t.Fatalf("%+v %v", ledger, books.errors)
			}
			if books.retries != 10 || books.first[failed] != 10 || books.first[ok] != 90 || len(s.ids) != 110 {
				t.Fatalf("%d retries, first %v, %d ids", books.retries, books.first, len(s.ids))
			}
			if s.major != c.major || s.bytes != 100000 {
				t.Fatalf("HTTP/%d with %d bytes", s.major, s.bytes)
			}
			served := uint32(0)
			for _, window := range books.windowReports() {
				served += window.Served[numberOf(session.names, "node-a")]
			}
			if served != 100 {
				t.Fatalf("%d served by node-a of %v", served, session.names.list)
			}
		})
	}
}

func numberOf(names *Names, name string) string {
	for index, each := range names.list {
		if each == name {
			return string(rune('0' + index))
		}
	}
	return ""
}

// The streams of a schedule are, together, the schedule.
func TestStreamsTogetherAreTheSchedule(t *testing.T) {
	schedule := newSchedule([]Segment{{1, 1000}, {0.5, 0}, {2, 3000}})
	for _, poisson := range []bool{false, true} {
		counts := [3]float64{}
		for index := range 5 {
			stream := schedule.stream(poisson, 7, index, 5)
			last := int64(-1)
			for at, more := stream.next(); more; at, more = stream.next() {
				if at < last {
					t.Fatalf("%d after %d", at, last)
				}
				last = at
				switch {
				case at < 1e9:
					counts[0]++
				case at < 1.5e9:
					counts[1]++
				default:
					counts[2]++
				}
			}
		}
		for k, expected := range []float64{1000, 0, 6000} {
			// Fixed seed; of all seeds, fewer than one in ten thousand lies four deviations off.
			if off := math.Abs(counts[k] - expected); poisson && off > 4*math.Sqrt(expected) || !poisson && off > 0 {
				t.Fatalf("poisson %v: segment %d has %g", poisson, k, counts[k])
			}
		}
	}
}

func TestCoarseBucketsAreEighthsOfADoubling(t *testing.T) {
	for micros := int64(1); micros < 1<<31; micros += 1 + micros/7 {
		exact := math.Floor(8 * math.Log2(float64(micros)) * (1 + 1e-15))
		if got := coarse(micros); math.Abs(float64(got)-exact) > 0 && micros > 64 {
			t.Fatalf("%d µs is in bucket %d, not %g", micros, got, exact)
		}
	}
}
