package main

import (
	"math/rand/v2"
	"time"
	"unsafe"

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

// passage is what this side knows of a packet on its way out. Times are nanoseconds since the epoch by this kernel's
// clock, except sent, which is nanoseconds after the start by this program's own monotonic clock.
type passage struct {
	sent             int64
	before, after    int64 // the call that sent it
	scheduled, taken int64 // TX_SCHED and TX_SOFTWARE here
}

// sender sends packets by a schedule that was made beforehand, and gathers what both kernels say of each.
type sender struct {
	config   *SendConfig
	socket   *socket
	receiver *receiver
	start    time.Time
	epoch    int64 // of start, in nanoseconds
	packets  []passage
	numbers  []uint32 // by the kernel's number for it: which packet
	lateness []int64
	out      packet

	marked        bool // this kernel marked a greeting
	refusals      int
	sent, refused int
	marking       int   // of those sent: how many were not plain
	ended         int64 // when all was sent
	droppedWas    uint32
}

// Summary is the server's own count.
type Summary struct {
	Received   uint32 `json:"received"`
	Duplicates uint32 `json:"duplicates"`
	Reordered  uint32 `json:"reordered"`
	Overflowed uint32 `json:"overflowed"`
}

// plain says of half of all numbers that their packets are. It follows no pattern, as what is done on the way to every
// second packet, or to every fourth, would otherwise be done to the one half alone. (The mixing is MurmurHash3's last.)
func plain(number uint32) bool {
	number = (number ^ number>>16) * 0x85ebca6b
	number = (number ^ number>>13) * 0xc2b2ae35
	return (number^number>>16)&1 == 1
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
		config: config, socket: socket, receiver: newReceiver(socket, rand.Uint64(), digest, count),
		packets: make([]passage, count), numbers: make([]uint32, 0, count), lateness: make([]int64, 0, count),
		out: make(packet, config.Bytes),
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
	finish, err := s.receiver.begin(s.start)
	if err != nil {
		return nil, err
	}
	defer finish()
	s.greet()
	if err := s.ready(); err != nil {
		return nil, err
	}
	if err := s.socket.renumber(); err != nil {
		return nil, err
	}
	s.droppedWas = s.receiver.heard().dropped
	before := cpuSeconds()
	s.offer()
	s.settle()
	finish()
	if s.receiver.heard().summary == nil {
		return nil, endingf(exitLost, "%s port %d answered before the packets were sent, and does not say how many it received",
			s.config.Address, s.config.Port)
	}
	return s.report(cpuSeconds() - before)
}

func (s *sender) now() int64 { return int64(time.Since(s.start)) }

// greet finds the server, warms the way up, and sees whether both kernels give stamps.
func (s *sender) greet() {
	for due := s.now(); due < -settleNanos; due += greetNanos {
		s.out.init(hello, s.receiver.session)
		if _, errno := s.socket.send(s.out); errno == unix.ECONNREFUSED {
			s.refusals++
		}
		s.pause(due + greetNanos)
	}
	s.pause(0)
}

func (s *sender) ready() error {
	where := func(text string) error {
		return endingf(exitSilent, "%s port %d %s", s.config.Address, s.config.Port, text)
	}
	switch heard := s.receiver.heard(); {
	case !heard.welcomed && s.refusals+heard.refusals > 0:
		return where("refuses packets: no server listens there")
	case !heard.welcomed:
		return where("answered no packet")
	case !s.marked || !heard.stamped:
		return endingf(exitUnmarked, "this kernel gives no timestamps of packets that leave or arrive")
	case !heard.foreign:
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
		if due := int64(float64(next) * gap); next < len(s.packets) {
			sleep(min(due-s.now(), shortNanos))
		}
	}
}

func (s *sender) sendOne(number uint32) {
	p := &s.packets[number]
	s.out.init(request, s.receiver.session)
	s.out.setNumber(number)
	if plain(number) {
		s.out.setPlain()
	}
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
	if !plain(number) {
		s.numbers = append(s.numbers, number)
		s.marking++
	}
	s.sent++
}

// settle waits for what is still under way, and for the server's count.
func (s *sender) settle() {
	s.ended = s.now()
	for due := s.ended; due < s.ended+lostNanos; due += askNanos {
		heard := s.receiver.heard()
		if heard.summary != nil && heard.waiting == 0 && (heard.complete(s.sent) || due > s.ended+lingerNanos) {
			return
		}
		s.out.init(ask, s.receiver.session)
		_, _ = s.socket.send(s.out)
		s.pause(due + askNanos)
	}
}

// pause takes marks of packets that left, until a moment after the start.
func (s *sender) pause(until int64) {
	for left := until - s.now(); left > 0; left = until - s.now() {
		s.socket.drain(s.left)
		sleep(min(left, shortNanos))
	}
	s.socket.drain(s.left)
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

// sleep waits for so many nanoseconds. It keeps its thread's place in Go's scheduler, which saves microseconds on the
// way back: waits have to be short.
func sleep(nanos int64) {
	limit := unix.NsecToTimespec(max(nanos, 0))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&limit)), 0, 0)
}

func cpuSeconds() float64 {
	var used unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
