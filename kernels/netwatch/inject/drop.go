package inject

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// drop throws away what the node sends to the pod. The program knows itself when to begin and when to end.
type drop struct{}

const (
	dropName     = "perfrun-spike-drop"
	dropPriority = 0x7e57
	// ahead is how far before its beginning the program is put in place: until then it lets everything pass, so that
	// the moment of effect is the one that is written in it.
	ahead = 5 * time.Millisecond
)

func (d *drop) prepare(target Target, record *Record) error {
	if err := deviceOf(target, record); err != nil {
		return err
	}
	return within(record.Node, func() error {
		had, err := hasClsact(record.Ifindex)
		if err != nil {
			return refuse("NoClassifier", "the classifiers of %s cannot be read: %v", record.Device, err)
		}
		record.Made = !had
		return nil
	})
}

func (d *drop) arm(_ Target, record *Record, _ time.Duration) error {
	if !record.Made {
		return nil
	}
	if err := netlink.QdiscAdd(clsact(record.Ifindex)); err != nil {
		return refuse("NoClassifier", "%s takes no classifier: %v", record.Device, err)
	}
	return nil
}

func (d *drop) do(record *Record, lasts time.Duration) (int64, error) {
	from := node.Now() + int64(ahead)
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "perfrun_drop", Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: dropping(from, from+int64(lasts)),
	})
	if err != nil {
		return 0, refuse("NoBPF", "the kernel does not take the program that drops packets: %v", err)
	}
	defer program.Close()
	filter := dropFilter(record.Ifindex)
	filter.Fd = program.FD()
	if err := netlink.FilterAdd(filter); err != nil {
		return 0, refuse("NoClassifier", "%s takes no classifier: %v", record.Device, err)
	}
	if now := node.Now(); now > from {
		return now, nil
	}
	node.Pause(from)
	return from, nil
}

// dropping is the program: drop within [from, to), and leave what comes to other classifiers else.
func dropping(from, to int64) asm.Instructions {
	const shot, unspecified = 2, -1
	return asm.Instructions{
		asm.FnKtimeGetNs.Call(),
		asm.LoadImm(asm.R1, from, asm.DWord),
		asm.JLT.Reg(asm.R0, asm.R1, "pass"),
		asm.LoadImm(asm.R1, to, asm.DWord),
		asm.JGE.Reg(asm.R0, asm.R1, "pass"),
		asm.Mov.Imm(asm.R0, shot),
		asm.Return(),
		asm.Mov.Imm(asm.R0, unspecified).WithSymbol("pass"),
		asm.Return(),
	}
}

// release: the program has ended by itself.
func (d *drop) release(record *Record) error {
	return within(record.Node, func() error { return removeDrop(record.Ifindex, false) })
}

func (d *drop) close() {}

func clsact(ifindex int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

func dropFilter(ifindex int) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: dropPriority,
		},
		Name: dropName, DirectAction: true,
	}
}

func hasClsact(ifindex int) (bool, error) {
	link, err := linkOf(ifindex)
	if err != nil {
		return false, err
	}
	queues, err := netlink.QdiscList(link)
	if err != nil {
		return false, err
	}
	for _, each := range queues {
		if each.Attrs().Parent == netlink.HANDLE_CLSACT {
			return true, nil
		}
	}
	return false, nil
}

// linkOf is the device; ENODEV where it is gone.
func linkOf(ifindex int) (netlink.Link, error) {
	link, err := netlink.LinkByIndex(ifindex)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, unix.ENODEV
	}
	return link, err
}

// dropFilters are ours on the device's way out, and how many others are beside them, on any way.
func dropFilters(ifindex int) (ours []netlink.Filter, others int, err error) {
	link, err := linkOf(ifindex)
	if err != nil {
		return nil, 0, err
	}
	had, err := hasClsact(ifindex)
	if err != nil || !had {
		return nil, 0, err
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_EGRESS, netlink.HANDLE_MIN_INGRESS} {
		all, err := netlink.FilterList(link, parent)
		if err != nil {
			return nil, 0, err
		}
		for _, each := range all {
			if bpf, ok := each.(*netlink.BpfFilter); ok && bpf.Name == dropName {
				ours = append(ours, bpf)
			} else {
				others++
			}
		}
	}
	return ours, others, nil
}

// removeDrop removes our classifiers, and their place on the device where it was made for them and nobody else uses
// it meanwhile.
func removeDrop(ifindex int, made bool) error {
	ours, others, err := dropFilters(ifindex)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, each := range ours {
		if err := netlink.FilterDel(each); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("the classifier on device %d could not be removed: %w", ifindex, err)
		}
	}
	if !made || others > 0 {
		return nil
	}
	if had, err := hasClsact(ifindex); err != nil || !had {
		return err
	}
	return netlink.QdiscDel(clsact(ifindex))
}

// seeDrop is an error where one of our classifiers is on the device.
func seeDrop(ifindex int) error {
	ours, _, err := dropFilters(ifindex)
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err == nil && len(ours) > 0 {
		err = fmt.Errorf("a classifier that drops packets is still on device %d", ifindex)
	}
	return err
}
