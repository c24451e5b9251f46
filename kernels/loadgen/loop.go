package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// loop sends one stream of requests over HTTP/1.1 from one thread: one epoll, no goroutine per request.
//
// A goroutine per request costs a second epoll and a scheduler between the schedule and the wire, which is the
// lateness that a load generator is judged by; here due requests and arriving answers are handled in turn.
type loop struct {
	config   *Config
	target   *target
	stream   *Stream
	recorder *Recorder
	budget   *Budget
	start    time.Time // monotonic
	stop     *atomic.Bool
	epoll    int

	idle    []*conn // a ring, used in turn: a stack would favour few connections, and so few servers
	idleAt  int
	idleN   int
	conns   []*conn // by file descriptor
	random  *rand.Rand
	live    int
	most    int
	opened  uint64
	peak    int
	waiting ring
	retries []*Request
	free    *Request

	oldest, newest *Request // outstanding requests
	early, late    *Request // attempts on the wire
	count          int

	next    int64
	more    bool
	serial  uint64
	stride  uint64
	buffer  []byte
	scratch []byte
	sentNow atomic.Uint64
	doneNow atomic.Uint64
}

// target is what all requests have in common.
type target struct {
	tls       bool
	addresses []address
	before    []byte // of the request, up to the value of X-Request-Id
	after     []byte
	head      bool
	name      string // X-Request-Id up to the number
}

type address struct {
	family int
	socket syscall.Sockaddr
	name   string
}

type conn struct {
	fd        int
	born      int32
	address   *address
	request   *Request
	parser    parser
	out       []byte
	connected bool
	left      int    // requests until a new connection takes its place, 0: as long as it lasts
	known     []byte // the name that server stands for
	server    uint16
	closed    bool
}

const (
	mostEvents  = 512
	mostAtOnce  = 32 // due requests that are sent before arriving answers get their turn
	mostOpened  = 4  // due requests that are sent in one turn while no connection is idle
	readSize    = 256 << 10
	mostPending = 1 << 18

	// Where requests are due more often than every dense, in nanoseconds, the loop turns to the wire once a turn, for
	// several of them at once: to fall asleep and be woken for each would cost more than the requests. Times then
	// count up to a turn too much, and never too little.
	turn  = int64(50 * time.Microsecond)
	dense = float64(turn) / 2
)

func newLoop(c *Config, t *target, stream *Stream, recorder *Recorder, index int, stop *atomic.Bool) (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("no epoll: %w", err)
	}
	return &loop{
		config: c, target: t, stream: stream, recorder: recorder, budget: newBudget(c), stop: stop, epoll: epoll, random: lives(c, index),
		most: max(1, c.Most/c.Loops), serial: uint64(index), stride: uint64(c.Loops),
		buffer: make([]byte, readSize), idle: make([]*conn, max(1, c.Most/c.Loops)),
	}, nil
}

// lives is the chance by which connections live: of a seed, but not the one of the schedule.
func lives(c *Config, index int) *rand.Rand {
	return rand.New(rand.NewPCG(c.Seed, 1<<32+uint64(c.Shard*c.Loops+index)))
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// warm opens the first connections before the start, so that the first requests are like all others.
func (l *loop) warm() {
	if l.config.Connection == "new" {
		return
	}
	for range max(1, l.config.Connections/l.config.Loops) {
		c, kind := l.open()
		if kind != "" {
			return
		}
		// All began at once, and should not end at once.
		if l.config.PerConn > 0 {
			c.left = 1 + l.random.IntN(l.config.PerConn)
		}
	}
}

func (l *loop) run(start time.Time) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	sharpTimers()
	l.start = start
	l.warm()
	events := make([]syscall.EpollEvent, mostEvents)
	l.next, l.more = l.stream.next()
	for (l.more || l.count > 0) && !l.stop.Load() {
		now := l.now()
		// With no idle connection left, answers are taken first: they may free one, and a hiccup of this machine
		// must not turn into a thousand connections.
		for sent := 0; l.more && l.next <= now && sent < mostAtOnce && (l.idleN > 0 || sent < mostOpened); sent++ {
			l.arrive(now)
			now = l.now()
		}
		l.expire(now)
		l.retry(now)
		pause := l.pause(now)
		if l.more && pause > 0 && pause < turn && l.stream.gap() < dense {
			rest(turn)
			pause = 0
		}
		n := wait(l.epoll, events, pause)
		for i := range n {
			// A descriptor closed and opened again within one batch must not get the old one's events.
			if c := l.conns[events[i].Fd]; c != nil && c.born == events[i].Pad {
				l.event(c, events[i].Events)
			}
		}
	}
	l.close()
}

// pause returns for how long there is nothing to do but to wait for answers.
func (l *loop) pause(now int64) int64 {
	until := now + int64(50*time.Millisecond)
	if l.more {
		until = min(until, l.next)
	}
	if l.oldest != nil {
		until = min(until, l.oldest.intended+l.recorder.deadline)
	}
	if l.early != nil {
		until = min(until, l.early.began+l.config.attempt())
	}
	for _, q := range l.retries {
		until = min(until, q.retryAt)
	}
	return until - now
}

func (l *loop) arrive(now int64) {
	q := l.take()
	q.number, q.intended = l.serial, l.next
	l.serial += l.stride
	l.next, l.more = l.stream.next()
	l.recorder.handle(q, now)
	l.budget.earn()
	l.count++
	if now >= q.intended+l.recorder.deadline || l.count > mostPending {
		l.recorder.problem("never sent: the generator was too late")
		l.end(q, neverSent, now)
		return
	}
	l.link(q)
	l.send(q, now)
}

// send puts a request on an idle connection, or on a new one, or lets it wait where there may be no more.
func (l *loop) send(q *Request, now int64) {
	fresh := l.config.Connection == "new" || q.attempt > 0
	if !fresh {
		if c := l.popIdle(); c != nil {
			l.transmit(c, q, now)
			return
		}
	}
	if l.live >= l.most {
		if c := l.popIdle(); c != nil {
			l.shut(c)
		} else {
			if !q.queued {
				l.recorder.held++
			}
			q.queued = true
			l.waiting.push(q, q.number)
			return
		}
	}
	c, kind := l.open()
	if kind == "" {
		l.transmit(c, q, now)
		return
	}
	// A first attempt that found no socket or no free port here never reached the server.
	if q.attempt == 0 {
		l.recorder.problem("never sent: " + kind)
		l.unlink(q)
		l.end(q, neverSent, now)
		return
	}
	l.begin(q, now)
	l.attemptOver(q, failed, kind, now)
}

func (l *loop) begin(q *Request, now int64) {
	if !q.started {
		q.started = true
		l.recorder.begin(q, now)
		l.sentNow.Store(l.recorder.sent)
	}
	q.began = now
	l.linkAttempt(q)
}

func (l *loop) transmit(c *conn, q *Request, now int64) {
	c.request, q.conn = q, c
	c.parser.reset()
	l.begin(q, now)
	l.scratch = l.target.request(l.scratch[:0], q)
	if !c.connected {
		c.out = append(c.out[:0], l.scratch...)
		return
	}
	l.flush(c, l.scratch)
}

func (l *loop) flush(c *conn, data []byte) {
	n, errno := write(c.fd, data)
	switch {
	case errno == syscall.EAGAIN:
		n = 0
	case errno != 0:
		l.broken(c, "write: "+errno.Error())
		return
	}
	// append copies forward within the same array, or out of the scratch buffer.
	c.out = append(c.out[:0], data[n:]...)
}

func (t *target) request(into []byte, q *Request) []byte {
	into = append(into, t.before...)
	into = append(into, t.name...)
	into = strconv.AppendUint(into, q.number, 10)
	into = append(into, '-')
	into = strconv.AppendUint(into, uint64(q.attempt), 10)
	return append(into, t.after...)
}

func (l *loop) open() (*conn, string) {
	a := &l.target.addresses[int(l.opened)%len(l.target.addresses)]
	fd, err := syscall.Socket(a.family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, "socket: " + err.Error()
	}
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	// The side that closes first keeps its port for a minute, and the search for a free one takes ever longer: closed
	// by a reset, when its last answer was read, a connection leaves nothing behind.
	_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	c := &conn{fd: fd, address: a, left: l.config.PerConn, parser: parser{servers: lower(l.config.ServedBy), noBody: l.target.head}}
	err = syscall.Connect(fd, a.socket)
	if err != nil && err != syscall.EINPROGRESS {
		_ = syscall.Close(fd)
		return nil, "connect: " + err.Error()
	}
	c.born = int32(l.opened)
	event := syscall.EpollEvent{Events: edges, Fd: int32(fd), Pad: c.born}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		_ = syscall.Close(fd)
		return nil, "epoll: " + err.Error()
	}
	c.server = l.recorder.server([]byte(a.name))
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	l.live++
	l.opened++
	l.peak = max(l.peak, l.live)
	return c, ""
}

func (l *loop) event(c *conn, events uint32) {
	if !c.connected {
		if events&(syscall.EPOLLOUT|syscall.EPOLLERR|syscall.EPOLLHUP) == 0 {
			return
		}
		if code, err := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || code != 0 {
			l.broken(c, "connect: "+syscall.Errno(code).Error())
			return
		}
		c.connected = true
		if c.request == nil {
			l.release(c)
		}
	}
	if events&syscall.EPOLLOUT != 0 && len(c.out) > 0 {
		l.flush(c, c.out)
	}
	if events&readable != 0 && !c.closed {
		l.receive(c)
	}
}

func (l *loop) receive(c *conn) {
	for !c.closed {
		n, errno := read(c.fd, l.buffer)
		switch {
		case errno == syscall.EAGAIN:
			return
		case errno != 0:
			l.broken(c, "read: "+errno.Error())
			return
		case n == 0:
			if c.request != nil && c.parser.state == untilClose {
				l.answered(c)
			} else {
				l.broken(c, "closed before an answer")
			}
			return
		}
		if c.request == nil {
			l.shut(c)
			return
		}
		c.parser.feed(l.buffer[:n])
		switch c.parser.state {
		case complete:
			l.answered(c)
		case malformed:
			l.broken(c, "malformed answer")
		}
		// A short read leaves nothing behind; an edge announces what comes later.
		if n < len(l.buffer) {
			return
		}
	}
}

func (l *loop) answered(c *conn) {
	now, q := l.now(), c.request
	c.request, q.conn = nil, nil
	if len(c.parser.server) > 0 && string(c.parser.server) != string(c.known) {
		c.known = append(c.known[:0], c.parser.server...)
		c.server = l.recorder.server(c.known)
	}
	q.status, q.server = uint16(c.parser.status), c.server
	reusable := c.parser.keep && len(c.out) == 0 && l.config.Connection == "keep-alive"
	c.left--
	rotate := c.left == 0
	good := l.config.good(c.parser.status)
	kind := ""
	if !good {
		kind = "status " + strconv.Itoa(c.parser.status)
	}
	if reusable && !rotate {
		l.release(c)
	} else {
		l.shut(c)
		if rotate && l.live < max(1, l.config.Connections/l.config.Loops) {
			_, _ = l.open()
		}
		l.room(now)
	}
	if good {
		l.attemptOver(q, ok, "", now)
	} else {
		l.attemptOver(q, failed, kind, now)
	}
}

// release hands a connection to a waiting request, or makes it idle.
func (l *loop) release(c *conn) {
	if q := l.nextWaiting(); q != nil {
		l.transmit(c, q, l.now())
		return
	}
	if l.idleN == len(l.idle) {
		l.compact()
	}
	l.idle[(l.idleAt+l.idleN)%len(l.idle)] = c
	l.idleN++
}

// room lets a waiting request have the place of a connection that is gone.
func (l *loop) room(now int64) {
	if l.live < l.most {
		if q := l.nextWaiting(); q != nil {
			l.send(q, now)
		}
	}
}

func (l *loop) nextWaiting() *Request {
	for {
		q, number := l.waiting.pop()
		if q == nil {
			return nil
		}
		// The request may have ended meanwhile, and its memory serve another.
		if q.queued && q.number == number {
			q.queued = false
			return q
		}
	}
}

func (l *loop) popIdle() *conn {
	for l.idleN > 0 {
		c := l.idle[l.idleAt]
		l.idle[l.idleAt] = nil
		l.idleAt = (l.idleAt + 1) % len(l.idle)
		l.idleN--
		if !c.closed {
			return c
		}
	}
	return nil
}

// shut closes a connection that carries no request.
func (l *loop) shut(c *conn) {
	c.closed = true
	l.conns[c.fd] = nil
	l.live--
	_ = syscall.Close(c.fd)
}

// compact drops closed connections out of the ring, which has room for all that may be open.
func (l *loop) compact() {
	kept := make([]*conn, 0, l.idleN)
	for c := l.popIdle(); c != nil; c = l.popIdle() {
		kept = append(kept, c)
	}
	l.idleAt, l.idleN = 0, len(kept)
	copy(l.idle, kept)
}

// broken closes a connection and fails the attempt that it carried.
func (l *loop) broken(c *conn, kind string) {
	q := c.request
	c.request = nil
	l.shut(c)
	now := l.now()
	l.room(now)
	if q != nil {
		q.conn, q.server = nil, c.server
		l.attemptOver(q, failed, kind, now)
	}
}

// attemptOver decides what follows an attempt: the end, or a retry within its deadline, its number and the budget.
func (l *loop) attemptOver(q *Request, outcome Outcome, kind string, now int64) {
	l.unlinkAttempt(q)
	if outcome == ok && now > q.intended+l.recorder.deadline {
		outcome = timedOut
	}
	if q.attempt == 0 {
		l.recorder.firstDone(q, outcome, now)
	}
	if kind != "" {
		l.recorder.problem(kind)
	}
	if outcome != ok && int(q.attempt) < l.config.Retries {
		pause := l.config.backoff(int(q.attempt) + 1)
		if now+pause < q.intended+l.recorder.deadline {
			if l.budget.spend() {
				q.attempt++
				q.retryAt = now + pause
				l.recorder.retries++
				l.retries = append(l.retries, q)
				return
			}
			l.recorder.refused++
		}
	}
	l.unlink(q)
	l.end(q, outcome, now)
}

func (l *loop) end(q *Request, outcome Outcome, now int64) {
	l.recorder.finish(q, outcome, now)
	l.count--
	l.doneNow.Add(1)
	q.queued = false
	q.newer, l.free = l.free, q
}

func (l *loop) retry(now int64) {
	for i := 0; i < len(l.retries); {
		if q := l.retries[i]; q.retryAt <= now {
			l.retries[i] = l.retries[len(l.retries)-1]
			l.retries = l.retries[:len(l.retries)-1]
			l.send(q, now)
		} else {
			i++
		}
	}
}

// expire ends attempts and requests whose time is over.
func (l *loop) expire(now int64) {
	for q := l.early; q != nil && q.began+l.config.attempt() <= now; q = l.early {
		l.drop(q)
		l.attemptOver(q, timedOut, "no answer in time", now)
	}
	for q := l.oldest; q != nil && q.intended+l.recorder.deadline <= now; q = l.oldest {
		onWire := q.conn != nil
		l.drop(q)
		l.unlinkAttempt(q)
		for i, other := range l.retries {
			if other == q {
				l.retries = append(l.retries[:i], l.retries[i+1:]...)
				break
			}
		}
		outcome := timedOut
		if !q.started {
			outcome = neverSent
			l.recorder.problem("never sent: all connections were busy")
		} else if onWire {
			l.recorder.problem("no answer in time")
		}
		if q.attempt == 0 && q.started {
			l.recorder.firstDone(q, timedOut, now)
		}
		l.unlink(q)
		l.end(q, outcome, now)
	}
}

// drop takes a request off its connection, which is closed: the answer may still come.
func (l *loop) drop(q *Request) {
	if c := q.conn; c != nil {
		c.request, q.conn = nil, nil
		q.server = c.server
		l.shut(c)
		l.room(l.now())
	}
}

// close ends the run: what is on its way or not sent yet is accounted for as such.
func (l *loop) close() {
	now := l.now()
	for q := l.oldest; q != nil; {
		following := q.newer
		outcome := inFlight
		if !q.started {
			outcome = neverSent
		}
		l.recorder.finish(q, outcome, now)
		q = following
	}
	if l.more {
		l.recorder.abandon(l.stream, l.next, l.serial, l.stride)
	}
	for _, c := range l.conns {
		if c != nil {
			_ = syscall.Close(c.fd)
		}
	}
	_ = syscall.Close(l.epoll)
}

func (l *loop) take() *Request {
	q := l.free
	if q == nil {
		q = &Request{}
	} else {
		l.free = q.newer
	}
	*q = Request{sent: -1}
	return q
}

func (l *loop) link(q *Request) {
	q.older, q.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = q
	} else {
		l.oldest = q
	}
	l.newest = q
}

func (l *loop) unlink(q *Request) {
	if q.older != nil {
		q.older.newer = q.newer
	} else {
		l.oldest = q.newer
	}
	if q.newer != nil {
		q.newer.older = q.older
	} else {
		l.newest = q.older
	}
	q.older, q.newer = nil, nil
}

func (l *loop) linkAttempt(q *Request) {
	q.earlier, q.later = l.late, nil
	if l.late != nil {
		l.late.later = q
	} else {
		l.early = q
	}
	l.late = q
}

func (l *loop) unlinkAttempt(q *Request) {
	if q.earlier == nil && l.early != q {
		return
	}
	if q.earlier != nil {
		q.earlier.later = q.later
	} else {
		l.early = q.later
	}
	if q.later != nil {
		q.later.earlier = q.earlier
	} else {
		l.late = q.earlier
	}
	q.earlier, q.later = nil, nil
}

// ring is a queue of requests that wait for a connection, each with the number that it had then.
type ring struct {
	items []waiter
	at    int
}

type waiter struct {
	request *Request
	number  uint64
}

func (r *ring) push(q *Request, number uint64) {
	if r.at > 0 && len(r.items) == cap(r.items) {
		r.items = append(r.items[:0], r.items[r.at:]...)
		r.at = 0
	}
	r.items = append(r.items, waiter{q, number})
}

func (r *ring) pop() (*Request, uint64) {
	if r.at == len(r.items) {
		r.items, r.at = r.items[:0], 0
		return nil, 0
	}
	w := r.items[r.at]
	r.at++
	return w.request, w.number
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func resolve(host, port string) ([]address, error) {
	found, err := net.LookupIP(host)
	if err != nil {
		return nil, fmt.Errorf("the host %q has no address: %w", host, err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return nil, fmt.Errorf("the port %q is none: %w", port, err)
	}
	var addresses, six []address
	for _, ip := range found {
		name := net.JoinHostPort(ip.String(), strconv.Itoa(number))
		if four := ip.To4(); four != nil {
			addresses = append(addresses, address{syscall.AF_INET, &syscall.SockaddrInet4{Port: number, Addr: [4]byte(four)}, name})
		} else {
			six = append(six, address{syscall.AF_INET6, &syscall.SockaddrInet6{Port: number, Addr: [16]byte(ip.To16())}, name})
		}
	}
	// A name such as localhost has both while its server may listen on one: the older family is the safer guess.
	if addresses == nil {
		addresses = six
	}
	return addresses, nil
}
