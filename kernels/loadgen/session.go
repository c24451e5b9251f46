package main

import (
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// runner is either engine.
type runner interface{ run(start time.Time) }

// Session runs one schedule to its end.
type Session struct {
	config    *Config
	schedule  *Schedule
	names     *Names
	runners   []runner
	recorders []*Recorder
	stop      *atomic.Bool
}

func requestName(c *Config) string { return c.Run + "-" + strconv.Itoa(c.Shard) + "-" }

func newSession(c *Config, records *Records, stop *atomic.Bool) (*Session, error) {
	s := &Session{config: c, schedule: newSchedule(c.Segments), names: newNames(), stop: stop}
	raiseFiles(c)
	t, err := newTarget(c)
	if err != nil {
		return nil, err
	}
	for index := range c.Loops {
		streams := c.Shards * c.Loops
		stream := s.schedule.stream(c.Arrivals == "poisson", c.Seed, c.Shard*c.Loops+index, streams)
		recorder := newRecorder(c, s.names, records)
		s.recorders = append(s.recorders, recorder)
		if c.HTTP == "2" || t.tls {
			s.runners = append(s.runners, newExchanger(c, t.addresses, stream, recorder, index, stop))
			continue
		}
		l, err := newLoop(c, t, stream, recorder, index, stop)
		if err != nil {
			return nil, err
		}
		s.runners = append(s.runners, l)
	}
	return s, nil
}

// newTarget finds the server, whose name is looked up once for the whole run, and prepares the HTTP/1.1 requests.
func newTarget(c *Config) (*target, error) {
	at, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	port := at.Port()
	if port == "" {
		port = at.Scheme
	}
	addresses, err := resolve(at.Hostname(), port)
	if err != nil {
		return nil, err
	}
	var before, after strings.Builder
	fmt.Fprintf(&before, "%s %s HTTP/1.1\r\n", c.Method, at.RequestURI())
	host := at.Host
	for name, value := range c.Headers {
		if strings.EqualFold(name, "Host") {
			host = value
		} else {
			fmt.Fprintf(&before, "%s: %s\r\n", name, value)
		}
	}
	fmt.Fprintf(&before, "Host: %s\r\nX-Request-Id: ", host)
	after.WriteString("\r\n")
	if c.BodyBytes > 0 || c.Method == "POST" || c.Method == "PUT" || c.Method == "PATCH" {
		fmt.Fprintf(&after, "Content-Length: %d\r\n", c.BodyBytes)
	}
	if c.Connection == "new" {
		after.WriteString("Connection: close\r\n")
	}
	after.WriteString("\r\n")
	after.WriteString(strings.Repeat("x", c.BodyBytes))
	return &target{
		tls: at.Scheme == "https", addresses: addresses, before: []byte(before.String()), after: []byte(after.String()), head: c.Method == "HEAD",
		name: requestName(c),
	}, nil
}

// raiseFiles takes all the descriptors that are allowed and keeps connections below that.
func raiseFiles(c *Config) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	limit.Cur = limit.Max
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	if room := int(min(limit.Max, 1<<20)) - 64; room > 0 {
		c.Most = min(c.Most, room)
		c.Connections = min(c.Connections, c.Most)
	}
}

// run waits for the start and returns the merged books.
func (s *Session) run(start time.Time) *Recorder {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), s.config.Loops+1))
	// Connections are opened in the last second before the start, so that no server finds them idle for long.
	for early := time.Until(start) - time.Second; early > 0 && !s.stop.Load(); early = time.Until(start) - time.Second {
		time.Sleep(min(early, 50*time.Millisecond))
	}
	var running sync.WaitGroup
	for _, each := range s.runners {
		running.Add(1)
		go func() {
			defer running.Done()
			each.run(start)
		}()
	}
	running.Wait()
	merged := s.recorders[0]
	for _, other := range s.recorders[1:] {
		merged.merge(other)
	}
	for _, each := range s.recorders {
		if each.sheet != nil {
			each.sheet.flush()
		}
	}
	return merged
}

func (s *Session) connections() Connections {
	var total Connections
	for _, each := range s.runners {
		switch engine := each.(type) {
		case *loop:
			total.Opened += engine.opened
			total.Most += engine.peak
		case *exchanger:
			total.Opened += engine.opened.Load()
		}
	}
	return total
}

// progress returns how many requests were sent and how many ended so far.
func (s *Session) progress() (sent, done uint64) {
	for _, each := range s.runners {
		switch engine := each.(type) {
		case *loop:
			sent, done = sent+engine.sentNow.Load(), done+engine.doneNow.Load()
		case *exchanger:
			sent, done = sent+engine.sentNow.Load(), done+engine.doneNow.Load()
		}
	}
	return sent, done
}

// achieved is the rate at which first attempts really went out: over the schedule's length, or longer if it took longer.
func (r *Recorder) achieved(seconds float64) float64 {
	return float64(r.sent) / max(seconds, float64(r.lastOut)/1e9)
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}
