package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// exchanger sends one stream of requests through Go's own HTTP client: TLS and HTTP/2, which loop does not speak.
// Each request is a goroutine, so that one that waits delays no other.
type exchanger struct {
	config   *Config
	stream   *Stream
	address  []address // of the server, looked up once
	clients  []*http.Transport
	random   *rand.Rand
	recorder *Recorder
	budget   *Budget
	mutex    sync.Mutex
	flying   map[*Request]struct{}
	start    time.Time
	stop     *atomic.Bool
	body     []byte
	turn     uint64
	opened   atomic.Uint64
	sentNow  atomic.Uint64
	doneNow  atomic.Uint64
	serial   uint64
	stride   uint64
}

// idleSeconds is how long a connection may idle: those of a client that was given up are gone soon after.
const idleSeconds = 30

// connectSeconds is how long a connection may go on being made when nobody waits for it any more.
const connectSeconds = 5

func newExchanger(c *Config, addresses []address, stream *Stream, recorder *Recorder, index int, stop *atomic.Bool) *exchanger {
	e := &exchanger{
		address: addresses, random: lives(c, index),
		config: c, stream: stream, recorder: recorder, budget: newBudget(c), stop: stop, flying: map[*Request]struct{}{},
		body: bytes.Repeat([]byte{'x'}, c.BodyBytes), serial: uint64(index), stride: uint64(c.Loops),
	}
	// A client puts all requests of HTTP/2 on one connection, and those of HTTP/1.1 on the one that was used last:
	// only several clients, used in turn, reach several servers.
	for range max(1, c.Connections/c.Loops) {
		e.clients = append(e.clients, e.transport())
	}
	return e
}

func (e *exchanger) transport() *http.Transport {
	protocols := new(http.Protocols)
	if e.config.HTTP == "2" {
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	} else {
		protocols.SetHTTP1(true)
	}
	// All clients together keep to max_connections.
	most := max(1, e.config.Most/max(e.config.Connections, e.config.Loops))
	// The client goes on to connect when the attempt that asked for it is over, for the next one; but not for ever.
	longest := time.Duration(e.config.attempt()) + connectSeconds*time.Second
	dialer := &net.Dialer{Timeout: longest}
	return &http.Transport{
		Protocols: protocols, DisableCompression: true, MaxIdleConns: most, MaxIdleConnsPerHost: most,
		MaxConnsPerHost: most, IdleConnTimeout: idleSeconds * time.Second, DisableKeepAlives: e.config.Connection == "new",
		TLSClientConfig: &tls.Config{InsecureSkipVerify: e.config.Insecure}, TLSHandshakeTimeout: longest,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			turn := e.opened.Add(1) - 1
			return dialer.DialContext(ctx, network, e.address[turn%uint64(len(e.address))].name)
		},
	}
}

func (e *exchanger) now() int64 { return int64(time.Since(e.start)) }

func (e *exchanger) run(start time.Time) {
	e.start = start
	var flights sync.WaitGroup
	next, more := e.stream.next()
	for more && !e.stop.Load() {
		now := e.now()
		if next > now {
			time.Sleep(time.Duration(min(next-now, int64(50*time.Millisecond))))
			continue
		}
		q := &Request{sent: -1, number: e.serial, intended: next}
		e.serial += e.stride
		next, more = e.stream.next()
		e.mutex.Lock()
		e.recorder.handle(q, now)
		e.budget.earn()
		late := now >= q.intended+e.recorder.deadline || len(e.flying) >= mostPending
		if late {
			e.recorder.problem("never sent: the generator was too late")
			e.recorder.finish(q, neverSent, now)
		} else {
			e.flying[q] = struct{}{}
		}
		e.mutex.Unlock()
		if !late {
			flights.Add(1)
			go func() {
				defer flights.Done()
				e.carry(q)
			}()
		}
	}
	landed := make(chan struct{})
	go func() {
		flights.Wait()
		close(landed)
	}()
	for done := false; !done && !e.stop.Load(); {
		select {
		case <-landed:
			done = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	e.close(next, more)
}

func (e *exchanger) close(next int64, more bool) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	now := e.now()
	for q := range e.flying {
		e.recorder.finish(q, inFlight, now)
	}
	// Goroutines that are still on their way find their request gone and write nothing.
	e.flying = nil
	if more {
		e.recorder.abandon(e.stream, next, e.serial, e.stride)
	}
}

// carry brings one request to its end, with its retries.
func (e *exchanger) carry(q *Request) {
	for {
		began := e.now()
		e.mutex.Lock()
		if _, flying := e.flying[q]; !flying {
			e.mutex.Unlock()
			return
		}
		if !q.started {
			q.started = true
			e.recorder.begin(q, began)
			e.sentNow.Store(e.recorder.sent)
		}
		e.mutex.Unlock()
		status, server, err := e.attempt(q, began)
		if again := e.settle(q, status, server, err); again < 0 {
			return
		} else if again > 0 {
			time.Sleep(time.Duration(again))
		}
	}
}

// settle records an attempt; it returns the pause before the next one, or -1 when the request is over.
func (e *exchanger) settle(q *Request, status int, server string, err error) int64 {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if _, flying := e.flying[q]; !flying {
		return -1
	}
	now, deadline := e.now(), q.intended+e.recorder.deadline
	outcome, kind := ok, ""
	switch {
	case err != nil && (errors.Is(err, context.DeadlineExceeded) || now >= deadline):
		outcome, kind = timedOut, "no answer in time"
	case err != nil:
		outcome, kind = failed, reason(err)
	case !e.config.good(status):
		outcome, kind = failed, "status "+strconv.Itoa(status)
	case now > deadline:
		outcome = timedOut
	}
	q.status, q.server = uint16(status), e.recorder.server([]byte(server))
	if kind != "" {
		e.recorder.problem(kind)
	}
	if q.attempt == 0 {
		e.recorder.firstDone(q, outcome, now)
	}
	if outcome != ok && int(q.attempt) < e.config.Retries {
		if pause := e.config.backoff(int(q.attempt) + 1); now+pause < deadline {
			if e.budget.spend() {
				q.attempt++
				e.recorder.retries++
				return pause
			}
			e.recorder.refused++
		}
	}
	delete(e.flying, q)
	e.recorder.finish(q, outcome, now)
	e.doneNow.Add(1)
	return -1
}

func (e *exchanger) attempt(q *Request, began int64) (int, string, error) {
	limit := min(began+e.config.attempt(), q.intended+e.recorder.deadline)
	ctx, cancel := context.WithDeadline(context.Background(), e.start.Add(time.Duration(limit)))
	defer cancel()
	server := ""
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { server = info.Conn.RemoteAddr().String() },
	})
	request, err := http.NewRequestWithContext(ctx, e.config.Method, e.config.URL, bytes.NewReader(e.body))
	if err != nil {
		return 0, "", err
	}
	// A body that can be had again would be sent again by the client itself, past the books.
	request.GetBody = nil
	for name, value := range e.config.Headers {
		if strings.EqualFold(name, "Host") {
			request.Host = value
		}
		request.Header.Set(name, value)
	}
	request.Header.Set("X-Request-Id", requestName(e.config)+strconv.FormatUint(q.number, 10)+"-"+strconv.Itoa(int(q.attempt)))
	client, slot := e.client(q.attempt, request)
	if slot < 0 {
		defer client.CloseIdleConnections()
	}
	answer, err := client.RoundTrip(request)
	if err != nil {
		e.giveUp(client, slot)
		return 0, server, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return answer.StatusCode, server, err
	}
	if name := answer.Header.Get(e.config.ServedBy); name != "" {
		server = name
	}
	return answer.StatusCode, server, nil
}

// client returns the one for an attempt, and its slot. A retry gets one of its own (slot -1), so that it takes a new
// connection: the old one may lead to a server that is gone.
func (e *exchanger) client(attempt uint8, request *http.Request) (*http.Transport, int) {
	if attempt > 0 {
		return e.transport(), -1
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	// A connection ends with each of its requests by chance: its life is requests_per_connection on average.
	request.Close = e.config.PerConn > 0 && e.random.IntN(e.config.PerConn) == 0
	slot := int(e.turn % uint64(len(e.clients)))
	e.turn++
	return e.clients[slot], slot
}

// giveUp replaces a client whose attempt failed: HTTP/2 would send more requests after it on the same connection.
func (e *exchanger) giveUp(client *http.Transport, slot int) {
	if e.config.HTTP != "2" || slot < 0 {
		return
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.clients[slot] == client {
		e.clients[slot] = e.transport()
	}
}

// reason names an error without what differs each time, such as the local port.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
