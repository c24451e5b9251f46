package main

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

const (
	greetNanos  = int64(50 * time.Millisecond)
	settleNanos = int64(100 * time.Millisecond) // between the last greeting and the first packet
	mostAtOnce  = 16                            // due packets that are sent before arriving ones get their turn
	behindNanos = int64(time.Second)            // after the end, until which packets that are overdue are still sent
	lingerNanos = int64(time.Second)            // after the last packet, until which late ones count
	askNanos    = int64(5 * time.Millisecond)
	lostNanos   = int64(1500 * time.Millisecond) // after the last packet, until which the server has to give its count
	shortNanos  = int64(20 * time.Millisecond)
)

// passage is what is known of one packet. Times are nanoseconds since the epoch by the kernels' clocks, except sent and
// got, which are nanoseconds after the start by this program's own monotonic clock.
type passage struct {
	sent, got             int64
	before, after         int64 // the call that sent it
	scheduled, taken      int64 // TX_SCHED and TX_SOFTWARE here
	reached               int64 // RX_SOFTWARE at the server
	leftAt                int64 // TX_SCHED of the answer at the server
	back                  int64 // RX_SOFTWARE here
	leftDelay             uint32
	onTheWay, leftIsKnown bool
}

// sender sends packets by a schedule that was made beforehand, and gathers what both kernels say of each.
type sender struct {
	config   *SendConfig
	socket   *socket
	id       uint64
	start    time.Time
	epoch    int64 // of start, in nanoseconds
	packets  []passage
	numbers  []uint32 // by the kernel's number for it: which packet
	lateness []int64
	in, out  packet

	welcomed, foreign   bool // a welcome came; and said that the server's kernel gives stamps
	stamped, marked     bool // this kernel stamped a welcome, and marked a greeting
	refusals            int
	sameKernel          bool
	digest              int64
	sent, refused       int
	answered            int
	dropped, droppedWas uint32
	ended               int64 // when all was sent
	summary             *Summary
	waiting             int
}

// Summary is the server's own count.
type Summary struct {
	Received   uint32 `json:"received"`
	Duplicates uint32 `json:"duplicates"`
	Reordered  uint32 `json:"reordered"`
	Overflowed uint32 `json:"overflowed"`
}

func newSender(config *SendConfig) (*sender, error) {
	digest, err := bootDigest()
	if err != nil {
		return nil, err
	}
	socket, err := dial(config.Address, config.Port)
	if err != nil {
		return nil, err
	}
	count := config.packets()
	return &sender{
		config: config, socket: socket, id: rand.Uint64(), digest: digest, packets: make([]passage, count),
		numbers: make([]uint32, 0, count), lateness: make([]int64, 0, count),
		in: make(packet, 1<<16), out: make(packet, config.Bytes),
	}, nil
}

func (s *sender) run() (*SendReport, error) {
	defer s.socket.close()
	now := time.Now()
	wait := int64(s.config.StartAt*1e9) - now.UnixNano()
	if wait < 0 {
		return nil, endingf(exitLate, "the packets were to begin %.3f s before this program was ready", -float64(wait)/1e9)
	}
	s.start, s.epoch = now.Add(time.Duration(wait)), now.UnixNano()+wait
	s.greet()
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := s.socket.renumber(); err != nil {
		return nil, err
	}
	s.droppedWas = s.dropped
	before := cpuSeconds()
	s.offer()
	s.settle()
	if s.summary == nil {
		return nil, endingf(exitLost, "%s port %d answered before the packets were sent, and does not say how many it received",
			s.config.Address, s.config.Port)
	}
	return s.report(cpuSeconds() - before)
}

func (s *sender) now() int64 { return int64(time.Since(s.start)) }

// greet finds the server, warms the way up, and sees whether both kernels give stamps.
func (s *sender) greet() {
	for due := s.now(); due < -settleNanos; due += greetNanos {
		s.out.init(hello, s.id)
		if _, errno := s.socket.send(s.out); errno == unix.ECONNREFUSED {
			s.refusals++
		}
		s.listen(due + greetNanos)
	}
	s.listen(0)
}

func (s *sender) ready() error {
	where := func(text string) error {
		return endingf(exitSilent, "%s port %d %s", s.config.Address, s.config.Port, text)
	}
	switch {
	case !s.welcomed && s.refusals > 0:
		return where("refuses packets: no server listens there")
	case !s.welcomed:
		return where("answered no packet")
	case !s.marked || !s.stamped:
		return endingf(exitUnmarked, "this kernel gives no timestamps of packets that leave or arrive")
	case !s.foreign:
		return endingf(exitUnmarked, "the kernel of %s gives no timestamps of packets that leave or arrive", s.config.Address)
	}
	return nil
}

// offer sends every packet when it is due, or as soon afterwards as this thread can.
func (s *sender) offer() {
	gap, end := 1e9/s.config.Rate, int64(s.config.Seconds*1e9)+behindNanos
	next := 0
	for next < len(s.packets) {
		for range mostAtOnce {
			due, now := int64(float64(next)*gap), s.now()
			if next == len(s.packets) || now < due {
				break
			}
			if now > end {
				return
			}
			s.lateness = append(s.lateness, now-due)
			s.sendOne(uint32(next))
			next++
		}
		s.socket.drain(s.left)
		s.take()
		if due := int64(float64(next) * gap); next < len(s.packets) {
			s.socket.wait(min(due-s.now(), shortNanos))
			s.take()
		}
	}
}

func (s *sender) sendOne(number uint32) {
	p := &s.packets[number]
	s.out.init(request, s.id)
	s.out.setNumber(number)
	p.before, p.sent = time.Now().UnixNano(), s.now()
	_, errno := s.socket.send(s.out)
	p.after = time.Now().UnixNano()
	if errno != 0 {
		s.refused++
		s.socket.drain(s.left)
		_ = s.socket.renumber()
		s.numbers = s.numbers[:0]
		return
	}
	s.numbers = append(s.numbers, number)
	p.onTheWay = true
	s.sent++
}

// settle waits for what is still under way, and for the server's count.
func (s *sender) settle() {
	s.ended = s.now()
	for due := s.ended; due < s.ended+lostNanos; due += askNanos {
		if s.summary != nil && s.waiting == 0 && (s.complete() || due > s.ended+lingerNanos) {
			return
		}
		s.out.init(ask, s.id)
		_, _ = s.socket.send(s.out)
		s.listen(due + askNanos)
	}
}

func (s *sender) complete() bool {
	return int(s.summary.Received+s.summary.Overflowed) >= s.sent && s.answered >= int(s.summary.Received)
}

// listen takes what arrives until a moment after the start.
func (s *sender) listen(until int64) {
	for left := until - s.now(); left > 0; left = until - s.now() {
		s.socket.drain(s.left)
		s.take()
		s.socket.wait(min(left, shortNanos))
	}
	s.take()
}

// take reads all packets that have arrived.
func (s *sender) take() {
	for {
		got, errno := s.socket.receive(s.in, unix.MSG_DONTWAIT)
		if errno == unix.ECONNREFUSED {
			s.refusals++
			continue
		}
		if errno != 0 {
			return
		}
		s.dropped = max(s.dropped, got.dropped)
		if p := s.in[:got.length]; p.valid() && p.session() == s.id {
			s.arrived(p, got.at)
		}
	}
}

func (s *sender) arrived(p packet, at int64) {
	switch p.kind() {
	case welcome:
		s.welcomed, s.stamped, s.sameKernel = true, s.stamped || at != 0, p.stamp() == s.digest
		s.foreign = s.foreign || p.number() == 1
	case answer:
		s.waiting = p.waiting()
		s.learn(p)
		if number := p.number(); int(number) < len(s.packets) {
			if each := &s.packets[number]; each.got == 0 {
				each.got, each.back, each.reached = s.now(), at, p.stamp()
				s.answered++
			}
		}
	case summary:
		s.waiting = p.waiting()
		s.learn(p)
		s.summary = &Summary{Received: p.u32(16), Duplicates: p.u32(20), Reordered: p.u32(24), Overflowed: p.u32(28)}
	}
}

// learn takes the reports that a packet of the server brings.
func (s *sender) learn(p packet) {
	for slot := range 2 {
		if r := p.report(slot); r.scheduled != 0 && int(r.number) < len(s.packets) {
			each := &s.packets[r.number]
			each.leftAt, each.leftDelay, each.leftIsKnown = r.scheduled, r.delay, true
		}
	}
}

// left takes a mark of a packet that left. One that lies outside of the call that sent it belongs to another packet.
func (s *sender) left(m mark) {
	s.marked = s.marked || m.place == markSent
	if int(m.number) >= len(s.numbers) {
		return
	}
	switch p := &s.packets[s.numbers[m.number]]; {
	case m.place == markScheduled && p.before <= m.at && m.at <= p.after:
		p.scheduled = m.at
	case m.place == markSent && p.scheduled != 0 && m.at >= p.scheduled:
		p.taken = m.at
	}
}

func cpuSeconds() float64 {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
