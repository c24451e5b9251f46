package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const listenNanos = int64(20 * time.Millisecond)

// arrived is what is known of a packet's answer. Times are nanoseconds since the epoch by the kernels' clocks, except
// got, which is nanoseconds after the start by this program's own monotonic clock.
type arrived struct {
	got         int64
	back        int64 // RX_SOFTWARE here
	reached     int64 // RX_SOFTWARE of the request at the server
	leftAt      int64 // TX_SCHED of the answer at the server
	leftDelay   uint32
	leftIsKnown bool
}

// heard is what all answers came to so far.
type heard struct {
	welcomed, foreign bool // a welcome came; and said that the server's kernel gives stamps
	stamped           bool // this kernel stamped a welcome
	sameKernel        bool
	refusals          int
	answered          int
	dropped           uint32
	summary           *Summary
	waiting           int
}

func (h heard) complete(sent int) bool {
	return int(h.summary.Received+h.summary.Overflowed) >= sent && h.answered >= int(h.summary.Received)
}

// receiver takes what arrives in a thread of its own, which has nothing else to wait for: an answer is had as soon as
// this kernel has it.
type receiver struct {
	socket  *socket
	session uint64
	digest  int64
	start   time.Time

	lock    sync.Mutex
	answers []arrived
	so      heard
}

func newReceiver(socket *socket, session uint64, digest int64, count int) *receiver {
	return &receiver{socket: socket, session: session, digest: digest, answers: make([]arrived, count)}
}

// begin starts to listen; what it returns ends that, and may be called again.
func (r *receiver) begin(start time.Time) (func(), error) {
	if err := r.socket.limitReads(listenNanos); err != nil {
		return nil, err
	}
	r.start = start
	stop, done := new(atomic.Bool), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for in := make(packet, 1<<16); !stop.Load(); {
			r.take(in)
		}
	}()
	return func() {
		stop.Store(true)
		<-done
	}, nil
}

func (r *receiver) take(in packet) {
	got, errno := r.socket.receive(in)
	at := int64(time.Since(r.start))
	if errno != 0 && errno != unix.ECONNREFUSED {
		return
	}
	r.lock.Lock()
	defer r.lock.Unlock()
	if errno != 0 {
		r.so.refusals++
		return
	}
	r.so.dropped = max(r.so.dropped, got.dropped)
	if p := in[:got.length]; p.valid() && p.session() == r.session {
		r.learn(p, got.at, at)
	}
}

// heard returns what all answers came to by now.
func (r *receiver) heard() heard {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.so
}

func (r *receiver) learn(p packet, back, got int64) {
	switch p.kind() {
	case welcome:
		r.so.welcomed, r.so.stamped, r.so.sameKernel = true, r.so.stamped || back != 0, p.stamp() == r.digest
		r.so.foreign = r.so.foreign || p.number() == 1
	case answer:
		r.told(p)
		if number := p.number(); int(number) < len(r.answers) {
			if each := &r.answers[number]; each.got == 0 {
				each.got, each.back, each.reached = got, back, p.stamp()
				r.so.answered++
			}
		}
	case summary:
		r.told(p)
		r.so.summary = &Summary{Received: p.u32(16), Duplicates: p.u32(20), Reordered: p.u32(24), Overflowed: p.u32(28)}
	}
}

// told takes the reports that a packet of the server brings.
func (r *receiver) told(p packet) {
	r.so.waiting = p.waiting()
	for slot := range 2 {
		if one := p.report(slot); one.scheduled != 0 && int(one.number) < len(r.answers) {
			each := &r.answers[one.number]
			each.leftAt, each.leftDelay, each.leftIsKnown = one.scheduled, one.delay, true
		}
	}
}
