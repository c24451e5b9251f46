package main

import (
	"sync/atomic"
	"time"
)

const (
	mostSessions = 16
	keptLeavings = 1 << 16
	idleNanos    = int64(50 * time.Millisecond)
)

// server answers each packet with when it reached this kernel, and with when earlier answers left it.
type server struct {
	socket   *socket
	endAt    int64
	digest   int64
	sessions map[uint64]*session
	order    []uint64
	leavings [keptLeavings]leaving
	marked   bool // marks of both kinds were seen
	received uint64
	dropped  uint32
}

// session counts what one sender's packets came to.
type session struct {
	seen       []uint64 // a bit for each number
	highest    int64
	received   uint32
	duplicates uint32
	reordered  uint32
	dropped    uint32 // by the socket, before this session
	reports    reports
}

// leaving is one answer on its way out, until both of its marks are known.
type leaving struct {
	session *session
	id      uint32
	number  uint32
	before  int64
	after   int64
	at      int64
}

// ServeReport is what `serve` leaves behind.
type ServeReport struct {
	Received uint64 `json:"received"`
	Sessions int    `json:"sessions"`
}

func newServer(config *ServeConfig) (*server, error) {
	digest, err := bootDigest()
	if err != nil {
		return nil, err
	}
	socket, err := listen(config.Port)
	if err != nil {
		return nil, err
	}
	return &server{
		socket: socket, endAt: int64(config.EndAt * 1e9), digest: digest, sessions: map[uint64]*session{},
	}, socket.limitReads(idleNanos)
}

func (s *server) serve(stop *atomic.Bool) (*ServeReport, error) {
	defer s.socket.close()
	into, out := make(packet, 1<<16), make(packet, mostBytes)
	for !stop.Load() && time.Now().UnixNano() < s.endAt {
		got, errno := s.socket.receive(into)
		s.dropped = max(s.dropped, got.dropped)
		if errno == 0 && into[:got.length].valid() {
			s.answer(into[:got.length], out[:min(max(got.length, leastBytes), mostBytes)], got.at)
		}
		s.socket.drain(s.left)
	}
	return &ServeReport{Received: s.received, Sessions: len(s.order)}, nil
}

func (s *server) answer(asked, out packet, at int64) {
	from := s.session(asked.session())
	switch asked.kind() {
	case request:
		if !from.count(asked.number()) {
			return
		}
		s.received++
		out.init(answer, asked.session())
		out.setNumber(asked.number())
		if asked.plain() {
			out.setPlain()
		}
		out.setStamp(at)
		from.reports.fill(out)
		s.reply(out, from)
	case hello:
		out.init(welcome, asked.session())
		if s.marked && at != 0 {
			out.setNumber(1)
		}
		out.setStamp(s.digest)
		s.reply(out, nil)
	case ask:
		out.init(summary, asked.session())
		for index, value := range []uint32{from.received, from.duplicates, from.reordered, s.dropped - from.dropped} {
			out.putU32([]int{16, 20, 24, 28}[index], value)
		}
		from.reports.fill(out)
		s.reply(out, nil)
	}
}

// reply sends an answer and notes, where it is one of a session, what its marks will be of.
func (s *server) reply(out packet, from *session) {
	before := time.Now().UnixNano()
	id, errno := s.socket.reply(out)
	if errno != 0 {
		s.socket.drain(s.left)
		_ = s.socket.renumber()
		clear(s.leavings[:])
		return
	}
	if out.plain() {
		return
	}
	s.leavings[id%keptLeavings] = leaving{session: from, id: id, number: out.number(), before: before, after: time.Now().UnixNano()}
}

// left takes a mark of an answer that left. One that lies outside of the call that sent it belongs to another packet.
func (s *server) left(m mark) {
	l := &s.leavings[m.number%keptLeavings]
	if l.id != m.number || l.before == 0 {
		return
	}
	switch {
	case m.place == markScheduled && l.before <= m.at && m.at <= l.after:
		l.at = m.at
	case m.place == markSent && l.at != 0 && m.at >= l.at:
		s.marked = true
		if l.session != nil {
			l.session.reports.add(report{number: l.number, scheduled: l.at, delay: uint32(min(m.at-l.at, 1<<32-1))})
		}
		*l = leaving{}
	}
}

func (s *server) session(id uint64) *session {
	if known, found := s.sessions[id]; found {
		return known
	}
	if len(s.sessions) == mostSessions {
		delete(s.sessions, s.order[len(s.order)-mostSessions])
	}
	made := &session{seen: make([]uint64, (mostPackets+63)/64), highest: -1, dropped: s.dropped}
	s.sessions[id], s.order = made, append(s.order, id)
	return made
}

// count books one packet's number and says whether it was its first arrival.
func (s *session) count(number uint32) bool {
	if number >= mostPackets {
		return false
	}
	bit := uint64(1) << (number % 64)
	if s.seen[number/64]&bit != 0 {
		s.duplicates++
		return false
	}
	s.seen[number/64] |= bit
	s.received++
	if int64(number) < s.highest {
		s.reordered++
	}
	s.highest = max(s.highest, int64(number))
	return true
}
