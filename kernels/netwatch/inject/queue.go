package inject

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// queue listens to netfilter's queue of a number (nfnetlink_queue), and keeps what it gets.
type queue struct {
	conn   *netlink.Conn
	number uint16
	last   atomic.Uint32 // the last packet's id
	held   atomic.Bool
	answer chan error
	ended  chan struct{}
}

// Of linux/netfilter/nfnetlink_queue.h.
const (
	subsystem      = 3 << 8
	packetMessage  = subsystem | 0
	configMessage  = subsystem | 2
	batchMessage   = subsystem | 3
	packetHeader   = 1
	verdictHeader  = 2
	configCommand  = 1
	configCopy     = 2
	configLength   = 3
	commandBind    = 1
	copyMeta       = 1
	accept         = 1
	mostHeld       = 1 << 16
	receiveBuffer  = 8 << 20
	nfnetlinkBytes = 4
)

func openQueue(space int, number uint16) (*queue, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: space})
	if err != nil {
		return nil, err
	}
	// What the kernel cannot hand over, it drops.
	_ = conn.SetReadBuffer(receiveBuffer)
	return &queue{conn: conn, number: number, answer: make(chan error, 1), ended: make(chan struct{})}, nil
}

// listen is when the spike begins: it returns when the kernel has said yes. All is in one message: between two, packets
// would be lost.
func (q *queue) listen() error {
	// struct nfgenmsg: family, version, and the queue's number.
	body := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, q.number)
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: configCommand, Data: []byte{commandBind, 0, 0, 0}},
		{Type: configCopy, Data: append(binary.BigEndian.AppendUint32(nil, 0), copyMeta)},
		{Type: configLength, Data: binary.BigEndian.AppendUint32(nil, mostHeld)},
	})
	if err != nil {
		return err
	}
	go q.keep()
	header := netlink.Header{Type: configMessage, Flags: netlink.Request | netlink.Acknowledge}
	if _, err := q.conn.Send(netlink.Message{Header: header, Data: append(body, attributes...)}); err != nil {
		return err
	}
	select {
	case err := <-q.answer:
		return err
	case <-time.After(seen):
		return errors.New("no answer")
	}
}

// keep reads what comes, and lets nothing go.
func (q *queue) keep() {
	defer close(q.ended)
	for {
		messages, err := q.conn.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return
		}
		// Where too much came at once, the next read goes on.
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			q.say(err)
			return
		}
		for _, each := range messages {
			switch {
			case each.Header.Type == netlink.Error:
				q.say(nil)
			case each.Header.Type == packetMessage && len(each.Data) > nfnetlinkBytes:
				q.note(each.Data[nfnetlinkBytes:])
			}
		}
	}
}

// say passes on the answer to listen, before which packets may have come.
func (q *queue) say(err error) {
	select {
	case q.answer <- err:
	default:
	}
}

func (q *queue) note(data []byte) {
	attributes, err := netlink.UnmarshalAttributes(data)
	if err != nil {
		return
	}
	for _, each := range attributes {
		if each.Type == packetHeader && len(each.Data) >= 4 {
			q.last.Store(binary.BigEndian.Uint32(each.Data))
			q.held.Store(true)
		}
	}
}

// letGo accepts all that was kept. The rule is gone by now.
func (q *queue) letGo() error {
	// What came last may be on its way here.
	_ = q.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	<-q.ended
	if !q.held.Load() {
		return nil
	}
	verdict := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, accept), q.last.Load())
	body := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, q.number)
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: verdictHeader, Data: verdict}})
	if err == nil {
		_, err = q.conn.Send(netlink.Message{
			Header: netlink.Header{Type: batchMessage, Flags: netlink.Request}, Data: append(body, attributes...),
		})
	}
	if err != nil {
		return fmt.Errorf("the packets that were held could not be let go: %w", err)
	}
	return nil
}

// close ends the queue with the socket: the kernel drops what is still in it.
func (q *queue) close() { _ = q.conn.Close() }
