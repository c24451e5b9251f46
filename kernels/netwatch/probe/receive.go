package probe

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// ready is called when the kernel says that something happened to the connection.
func (p *Prober) ready(events int16) {
	if !p.conn.connected {
		if err := p.conn.failed(); err != nil {
			p.miss(node.Now(), err)
			return
		}
		p.conn.connected = true
		if p.outstanding && !p.written {
			p.write()
		}
	}
	if p.conn != nil && events&^unix.POLLOUT != 0 {
		p.receive()
	}
}

// receive reads until the answer is complete, or nothing is left.
func (p *Prober) receive() {
	for p.conn != nil {
		n, arrived, errno := p.timed.read(p.conn.fd, p.buffer)
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			p.miss(node.Now(), errno)
			return
		case n == 0 && p.answer.state == untilClose && p.outstanding:
			p.answered(arrived)
			return
		case n == 0:
			p.miss(node.Now(), io.EOF)
			return
		}
		if !p.outstanding {
			p.miss(node.Now(), errors.New("bytes that nobody asked for"))
			return
		}
		p.answer.feed(p.buffer[:n])
		switch p.answer.state {
		case complete:
			p.answered(arrived)
			return
		case broken:
			p.miss(node.Now(), errors.New("the answer is not HTTP/1.1"))
			return
		}
	}
}

// answered closes the current probe's books.
func (p *Prober) answered(arrived int64) {
	now := node.Now()
	at := now
	if arrived > 0 {
		at = min(arrived, now)
	}
	late := p.current.Deadline > 0 && at > p.current.Deadline
	switch {
	case late && !p.overdue && now-p.current.Deadline > stalled:
		// This thread was held up, and with it perhaps the whole processor: it cannot bear witness.
		p.books.Stalled++
		p.disturbed()
	case late && !p.overdue:
		p.alarm(now)
	}
	if p.overdue {
		answer := p.current
		answer.Kind, answer.At, answer.Arrived = Answer, now, arrived
		p.tell(answer)
	} else if !late {
		p.good(now)
	}
	p.books.Answered++
	_ = p.books.Latency.RecordValue(max(now-p.current.Intended, 0))
	p.outstanding, p.failing = false, 0
	p.dead.Store(false)
	p.schedule(now)
	if !p.answer.keep {
		p.drop()
		// Connecting takes place between two probes, where it delays none.
		p.dial(now)
	}
}

func (p *Prober) good(now int64) {
	if p.calmSince.Load() == 0 {
		p.calmSince.Store(now)
	}
	if p.goodSince == 0 {
		p.goodSince = now
	}
	if now-p.goodSince >= settle {
		p.quiet = false
	}
}

// schedule finds the next moment of the schedule: those that passed while a probe was outstanding are left out.
func (p *Prober) schedule(now int64) {
	p.next += p.interval
	if behind := now - p.next; behind > 0 {
		p.next += (behind + p.interval - 1) / p.interval * p.interval
	}
}

// miss gives the connection up, and the current probe with it.
func (p *Prober) miss(now int64, err error) {
	p.drop()
	if p.outstanding {
		p.outstanding = false
		p.books.Missed++
		p.disturbed()
		p.schedule(now)
	} else if p.next < now {
		p.schedule(now)
	}
	// A server may close a connection that idles; one that takes none is gone.
	if errors.Is(err, io.EOF) {
		return
	}
	if p.failing == 0 {
		p.failing = now
	}
	if now-p.failing >= lost && p.dead.CompareAndSwap(false, true) {
		p.tell(News{Kind: Lost, Prober: p.number, At: now, Err: err})
	}
}

func (p *Prober) drop() {
	if p.conn != nil {
		p.conn.close()
		p.conn = nil
	}
}
