package trace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// bed is a node and a pod: two network namespaces, a veth pair between them, and a server in the pod. The test's own
// thread is in the node's.
type bed struct {
	t         testing.TB
	node, pod netns.NsHandle
	spaces    [2]uint32 // inodes: node, pod
	server    *exec.Cmd
	thread    int    // the server's
	index     int    // of the pod's device in the node
	source    Source // that watches the last connection, or nil
}

var (
	nodeAddress = netip.MustParsePrefix("10.213.0.1/24")
	podAddress  = netip.MustParseAddrPort("10.213.0.2:8080")
)

const (
	request  = "GET / HTTP/1.1\r\nHost: pod\r\n\r\n"
	response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// TestMain lets the test's own program be the pod's server, or an agent with fewer rights.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("NETWATCH_TEST_SERVER") != "":
		serve()
	case os.Getenv("NETWATCH_TEST_OPEN") != "":
		tellSource()
	default:
		os.Exit(m.Run())
	}
}

// serve answers one connection at a time with blocking calls of one thread, as the simplest server would.
func serve() {
	runtime.LockOSThread()
	listener, _ := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	_ = syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(listener, &syscall.SockaddrInet4{Port: int(podAddress.Port())}); err != nil {
		panic(err)
	}
	_ = syscall.Listen(listener, 8)
	fmt.Println("thread", syscall.Gettid())
	into := make([]byte, 4096)
	for {
		one, _, err := syscall.Accept(listener)
		if err != nil {
			panic(err)
		}
		for {
			if n, err := syscall.Read(one, into); n <= 0 || err != nil {
				break
			}
			_, _ = syscall.Write(one, []byte(response))
		}
		syscall.Close(one)
	}
}

func inode(space netns.NsHandle) uint32 {
	var stat unix.Stat_t
	_ = unix.Fstat(int(space), &stat)
	return uint32(stat.Ino)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBed(t testing.TB) *bed {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	before, err := netns.Get()
	must(t, err)
	b := &bed{t: t}
	b.pod, err = netns.New()
	must(t, err)
	b.node, err = netns.New()
	must(t, err)
	b.spaces = [2]uint32{inode(b.node), inode(b.pod)}
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "vethpod"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.pod),
	}
	must(t, netlink.LinkAdd(pair))
	up := func(handle *netlink.Handle, name, address string) netlink.Link {
		device, err := handle.LinkByName(name)
		must(t, err)
		parsed, err := netlink.ParseAddr(address)
		must(t, err)
		must(t, handle.AddrAdd(device, parsed))
		must(t, handle.LinkSetUp(device))
		return device
	}
	here, err := netlink.NewHandle()
	must(t, err)
	b.index = up(here, "vethpod", nodeAddress.String()).Attrs().Index
	there, err := netlink.NewHandleAt(b.pod)
	must(t, err)
	up(there, "eth0", podAddress.Addr().String()+"/24")
	here.Close()
	there.Close()
	b.server = b.start(b.pod, os.Args[0], "NETWATCH_TEST_SERVER=1")
	t.Cleanup(func() {
		_ = b.server.Process.Kill()
		_ = b.server.Wait()
		must(t, netns.Set(before))
		b.pod.Close()
		b.node.Close()
		before.Close()
	})
	return b
}

// inSpace does something in a network namespace and comes back.
func inSpace(space, back netns.NsHandle, do func() error) error {
	if err := netns.Set(space); err != nil {
		return err
	}
	return errors.Join(do(), netns.Set(back))
}

// start runs a program in a namespace until it has written a line.
func (b *bed) start(space netns.NsHandle, program, environment string) *exec.Cmd {
	child := exec.Command(program)
	child.Env = append(os.Environ(), environment)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(b.t, err)
	must(b.t, inSpace(space, b.node, child.Start))
	var word string
	var thread int
	_, err = fmt.Fscan(out, &word, &thread)
	must(b.t, err)
	b.thread = thread
	return child
}

func (b *bed) target() Target {
	var threads []int
	listed, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", b.server.Process.Pid))
	must(b.t, err)
	for _, one := range listed {
		id, _ := strconv.Atoi(one.Name())
		threads = append(threads, id)
	}
	return Target{NetNS: b.spaces[1], Addr: podAddress, PIDs: threads, Devs: []string{"vethpod", "eth0"}}
}

// connect opens a prober's connection and watches it.
func (b *bed) connect(source Source) (*net.TCPConn, uint16) {
	var way net.Conn
	var err error
	for range 100 { // the kernel may still be bringing the link up
		if way, err = net.DialTimeout("tcp", podAddress.String(), time.Second); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	must(b.t, err)
	b.t.Cleanup(func() { way.Close() })
	port := way.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	if source != nil {
		b.source = source
		must(b.t, source.Watch([]Target{b.target()}, []uint16{port}))
	}
	return way.(*net.TCPConn), port
}

// probe asks once and says when it did (CLOCK_MONOTONIC) and when the answer came.
func (b *bed) probe(way net.Conn) (sent, answered int64) {
	b.ask()
	sent = now()
	_, err := way.Write([]byte(request))
	must(b.t, err)
	into := make([]byte, len(response))
	must(b.t, way.SetReadDeadline(time.Now().Add(5*time.Second)))
	for got := 0; got < len(response); {
		n, err := way.Read(into[got:])
		must(b.t, err)
		got += n
	}
	return sent, now()
}

func (b *bed) ask() {
	if b.source != nil {
		b.source.Ask(0)
	}
}

func now() int64 {
	var at unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &at)
	return at.Nano()
}
