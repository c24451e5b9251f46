package inject

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// tbf holds packets in a token bucket on the node's end of the pod's veth.
//
// The bucket is put there while it lets everything pass. To hold packets it is made slow. Of two frames of our own,
// which no protocol takes, the first then uses up what is in it, and the second stands before all others.
type tbf struct{ frames *frames }

// handleTBF tells our bucket from others: nobody numbers by chance like that.
var handleTBF = netlink.MakeHandle(0x7e57, 0)

const (
	slack   = 16             // bytes in the bucket beside one whole frame
	refill  = 4              // seconds in which the slow bucket fills; the kernel counts no more than 4.29 s
	waiting = 4 << 20        // bytes that may wait in the bucket
	fast    = 12_500_000_000 // bytes per second
	burst   = 64 << 20       // bytes in the fast bucket
	header  = 14             // bytes of Ethernet
)

func (t *tbf) prepare(target Target, record *Record) error {
	if err := deviceOf(target, record); err != nil {
		return err
	}
	return within(record.Node, func() error {
		queues, err := rootQueues(record.Ifindex)
		if err != nil {
			return refuse("NoQdisc", "the queues of %s cannot be read: %v", record.Device, err)
		}
		for _, each := range queues {
			// Handle 0 is what the kernel puts there by itself, and puts back.
			if each.Attrs().Handle != 0 {
				return refuse("QdiscInUse", "%s has a queueing discipline of its own (%s), which would be lost", record.Device, each.Type())
			}
		}
		return nil
	})
}

func (t *tbf) arm(_ Target, record *Record, _ time.Duration) error {
	if err := netlink.QdiscAdd(bucket(record, true)); err != nil {
		return refuse("NoQdisc", "%s takes no token bucket: %v", record.Device, err)
	}
	var err error
	if t.frames, err = openFrames(record.Ifindex); err != nil {
		return refuse("NoFrames", "no frame can be sent on %s: %v", record.Device, err)
	}
	return nil
}

func (t *tbf) do(record *Record, _ time.Duration) (int64, error) {
	if err := netlink.QdiscChange(bucket(record, false)); err != nil {
		return 0, refuse("NoQdisc", "the token bucket on %s was not made slow: %v", record.Device, err)
	}
	if err := errors.Join(t.frames.send(record.MTU), t.frames.send(record.MTU)); err != nil {
		return 0, refuse("NoFrames", "the token bucket on %s was not emptied: %v", record.Device, err)
	}
	return node.Now(), nil
}

func (t *tbf) release(record *Record) error { return flush(record, t.frames) }

func (t *tbf) close() {
	if t.frames != nil {
		t.frames.close()
	}
}

func bucket(record *Record, quick bool) *netlink.Tbf {
	size := uint64(record.MTU + header + slack)
	rate := size / refill
	if quick {
		size, rate = burst, fast
	}
	return &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: record.Ifindex, Handle: handleTBF, Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: waiting,
		Buffer: uint32(float64(size) / float64(rate) * netlink.TIME_UNITS_PER_SEC * netlink.TickInUsec()),
	}
}

// flush makes the bucket fast and gives it a push: its own timer was set while it was slow.
func flush(record *Record, out *frames) error {
	if err := netlink.QdiscChange(bucket(record, true)); err != nil {
		return fmt.Errorf("the token bucket on %s could not be made fast: %w", record.Device, err)
	}
	for give := node.Now() + int64(seen); node.Now() < give; {
		if err := out.send(64); err != nil {
			return err
		}
		if waits, err := backlog(record.Ifindex); err != nil || waits == 0 {
			return err
		}
	}
	return fmt.Errorf("packets still wait in the token bucket on %s", record.Device)
}

// removeTBF runs in the node's network namespace.
func removeTBF(record Record) error {
	if seeTBF(record.Ifindex) == nil {
		return nil
	}
	// What waits is sent first, as far as that can be: else it would be lost and sent again much later.
	if out, err := openFrames(record.Ifindex); err == nil {
		_ = flush(&record, out)
		out.close()
	}
	err := netlink.QdiscDel(bucket(&record, true))
	if err != nil && seeTBF(record.Ifindex) == nil {
		return nil
	}
	return err
}

// seeTBF is an error where our bucket is on the device.
func seeTBF(ifindex int) error {
	queues, err := rootQueues(ifindex)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the queues of device %d cannot be read: %w", ifindex, err)
	}
	for _, each := range queues {
		if each.Attrs().Handle == handleTBF {
			return fmt.Errorf("a token bucket is still on device %d", ifindex)
		}
	}
	return nil
}

func backlog(ifindex int) (uint32, error) {
	queues, err := rootQueues(ifindex)
	if err != nil {
		return 0, err
	}
	for _, each := range queues {
		if about := each.Attrs(); about.Handle == handleTBF && about.Statistics != nil {
			return about.Statistics.Queue.Qlen, nil
		}
	}
	return 0, nil
}

// rootQueues are the device's root queueing disciplines; ENODEV where it is gone.
func rootQueues(ifindex int) ([]netlink.Qdisc, error) {
	link, err := linkOf(ifindex)
	if err != nil {
		return nil, err
	}
	all, err := netlink.QdiscList(link)
	if err != nil {
		return nil, err
	}
	var roots []netlink.Qdisc
	for _, each := range all {
		if each.Attrs().Parent == netlink.HANDLE_ROOT {
			roots = append(roots, each)
		}
	}
	return roots, nil
}
