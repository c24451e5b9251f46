package probe

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// receive reads until the answer is complete, or nothing is left. A connection that is made only now gets its request.
func (p *Prober) receive() {
	if p.conn != nil && !p.conn.connected && !p.connect() {
		return
	}
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

// connect sees whether the connection is made.
func (p *Prober) connect() bool {
	made, err := p.conn.made()
	if err != nil {
		p.miss(node.Now(), err)
	}
	if !made || err != nil {
		return false
	}
	p.conn.connected = true
	if p.outstanding && !p.written {
		p.write()
	}
	return p.conn != nil
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
	_ = p.books.Latency.RecordValue(max(at-p.current.Intended, 0))
	p.outstanding, p.failing, p.free = false, 0, at
	p.dead.Store(false)
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

// miss gives the connection up, and the current probe with it.
func (p *Prober) miss(now int64, err error) {
	p.drop()
	if p.outstanding {
		p.outstanding, p.free = false, now
		p.books.Missed++
		p.disturbed()
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
