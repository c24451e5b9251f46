package inject

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// nfqueue has the pod's own packet filter hand packets to a program, which keeps them for a while.
//
// The rule lets packets pass while no program listens: so the spike begins with the listening, and a program that
// dies ends it.
type nfqueue struct {
	space  netns.NsHandle
	number uint16
	queue  *queue
}

const (
	tableName   = "perfrun-spike-nfqueue"
	tablePrefix = "perfrun-spike-"
	firstQueue  = 0x7e57
)

func (n *nfqueue) prepare(target Target, record *Record) error {
	if target.Host {
		return refuse("HostNetwork", "pod %s shares the node's network: its packets cannot be told from the node's", target.IP)
	}
	record.NetNS, record.Node = target.Space.NetNS, target.Node
	var err error
	if n.space, err = find(record.NetNS); err != nil || n.space < 0 {
		return refuse("NoNamespace", "the network namespace of pod %s cannot be opened: %v", target.IP, err)
	}
	n.number = freeQueue(target.Space.PIDs)
	return nil
}

// freeQueue is the number of a queue that nobody in the namespace listens to.
func freeQueue(pids []int) uint16 {
	used := map[string]bool{}
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/netfilter/nfnetlink_queue", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 0 {
				used[fields[0]] = true
			}
		}
		break
	}
	number := uint16(firstQueue)
	for used[fmt.Sprint(number)] {
		number++
	}
	return number
}

func (n *nfqueue) arm(target Target, _ *Record, _ time.Duration) error {
	address, err := netip.ParseAddr(target.IP)
	if err != nil {
		return refuse("NoNamespace", "pod %q has no address", target.IP)
	}
	family := nftables.TableFamilyIPv4
	if address.Unmap().Is6() {
		family = nftables.TableFamilyIPv6
	}
	// A kernel without the one has the other; both do the same.
	failed := n.rule(family, target.Port, &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &xt.Unknown{}})
	if failed != nil {
		failed = n.rule(family, target.Port, &expr.Queue{Num: n.number, Total: 1, Flag: expr.QueueFlagBypass})
	}
	if failed != nil {
		return refuse("NoNFQueue", "the kernel has no rule that hands packets to a program: %v", failed)
	}
	if n.queue, err = openQueue(int(n.space), n.number); err != nil {
		return refuse("NoNFQueue", "the kernel hands no packets to programs: %v", err)
	}
	return nil
}

func (n *nfqueue) rule(family nftables.TableFamily, port uint16, hand expr.Any) error {
	if target, ok := hand.(*expr.Target); ok {
		// struct xt_NFQ_info_v3: number, how many, flags; 1 is bypass.
		info := make([]byte, 8)
		binary.NativeEndian.PutUint16(info, n.number)
		binary.NativeEndian.PutUint16(info[2:], 1)
		binary.NativeEndian.PutUint16(info[4:], 1)
		unknown := xt.Unknown(info)
		target.Info = &unknown
	}
	c, err := nftables.New(nftables.WithNetNSFd(int(n.space)))
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: family, Name: tableName})
	chain := c.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput,
		Priority: nftables.ChainPriorityFilter,
	})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		hand,
	}})
	return c.Flush()
}

func (n *nfqueue) do(*Record, time.Duration) (int64, error) {
	if err := n.queue.listen(); err != nil {
		return 0, refuse("NoNFQueue", "the kernel hands no packets to this program: %v", err)
	}
	return node.Now(), nil
}

// release removes the rule first, so that nothing comes after what is let go. The table goes last: with it the kernel
// throws away what is still held.
func (n *nfqueue) release(record *Record) error {
	if err := within(record.NetNS, emptyTable); err != nil {
		return err
	}
	return n.queue.letGo()
}

func (n *nfqueue) close() {
	if n.queue != nil {
		n.queue.close()
	}
	if n.space > 0 {
		_ = n.space.Close()
	}
}

// ourTables runs in the pod's network namespace.
func ourTables() (*nftables.Conn, []*nftables.Table, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, nil, err
	}
	all, err := c.ListTables()
	if err != nil {
		return nil, nil, err
	}
	var ours []*nftables.Table
	for _, each := range all {
		if bytes.HasPrefix([]byte(each.Name), []byte(tablePrefix)) {
			ours = append(ours, each)
		}
	}
	return c, ours, nil
}

func emptyTable() error {
	c, tables, err := ourTables()
	if err != nil {
		return err
	}
	for _, each := range tables {
		c.FlushTable(each)
	}
	return c.Flush()
}

func removeTable() error {
	c, tables, err := ourTables()
	if err != nil || len(tables) == 0 {
		return err
	}
	for _, each := range tables {
		c.DelTable(each)
	}
	if err := c.Flush(); err != nil {
		// Another one may have been faster.
		if seeTable() == nil {
			return nil
		}
		return err
	}
	return nil
}

// seeTable is an error where a table of ours is in this network namespace.
func seeTable() error {
	_, tables, err := ourTables()
	if err == nil && len(tables) > 0 {
		err = fmt.Errorf("table %s is still there", tables[0].Name)
	}
	return err
}
