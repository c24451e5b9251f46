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
	return &queue{conn: conn, number: number, ended: make(chan struct{})}, nil
}

// listen is when the spike begins: it returns when the kernel has said yes.
func (q *queue) listen() error {
	if err := q.command(commandBind); err != nil {
		return err
	}
	if err := q.configure(configCopy, append(binary.BigEndian.AppendUint32(nil, 0), copyMeta)); err != nil {
		return err
	}
	if err := q.configure(configLength, binary.BigEndian.AppendUint32(nil, mostHeld)); err != nil {
		return err
	}
	go q.keep()
	return nil
}

func (q *queue) command(command byte) error {
	return q.configure(configCommand, []byte{command, 0, 0, 0})
}

func (q *queue) configure(kind uint16, data []byte) error {
	_, err := q.conn.Execute(q.message(configMessage, netlink.Request|netlink.Acknowledge, kind, data))
	return err
}

func (q *queue) message(kind netlink.HeaderType, flags netlink.HeaderFlags, attribute uint16, data []byte) netlink.Message {
	// struct nfgenmsg: family, version, and the queue's number.
	body := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, q.number)
	attributes, _ := netlink.MarshalAttributes([]netlink.Attribute{{Type: attribute, Data: data}})
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: flags}, Data: append(body, attributes...)}
}

// keep reads what comes, and lets nothing go.
func (q *queue) keep() {
	defer close(q.ended)
	for {
		messages, err := q.conn.Receive()
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil && len(messages) == 0 {
			// Too much came at once: the next read goes on.
			if errors.Is(err, unix.ENOBUFS) {
				continue
			}
			return
		}
		for _, each := range messages {
			if each.Header.Type == packetMessage && len(each.Data) > nfnetlinkBytes {
				q.note(each.Data[nfnetlinkBytes:])
			}
		}
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
	if _, err := q.conn.Send(q.message(batchMessage, netlink.Request, verdictHeader, verdict)); err != nil {
		return fmt.Errorf("the packets that were held could not be let go: %w", err)
	}
	return nil
}

// close ends the queue with the socket: the kernel drops what is still in it.
func (q *queue) close() { _ = q.conn.Close() }
