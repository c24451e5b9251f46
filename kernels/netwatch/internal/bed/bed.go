// Package bed is a node with one pod, for tests: two network namespaces with a veth between them, a container's control
// groups, and a server with several threads in both.
package bed

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"perfrun.dev/netwatch/node"
)

// Serve is the argument with which a test's own program becomes the pod's server.
const Serve = "bed-serve"

// IP and Port are the server's.
const (
	IP   = "10.217.0.2"
	Port = 8080
)

// Bed is a node with one pod. The test's thread is in the node's network namespace.
type Bed struct {
	t         testing.TB
	Node, Pod uint32 // inodes of the network namespaces
	Container string // its id
	Cgroup    string // its path in every hierarchy
	PID       int    // of the server
	conn      net.Conn
	last      net.Conn // on which no answer came in time
}

// RunServer serves until it is killed.
func RunServer() {
	listener, err := net.Listen("tcp4", fmt.Sprintf(":%d", Port))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	_ = http.Serve(listener, http.HandlerFunc(answer))
}

// New makes a node with one pod, all of which ends with the test.
func New(t testing.TB) *Bed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	b := &Bed{t: t, Container: fmt.Sprintf("bed%d%d", os.Getpid(), time.Now().UnixNano())}
	pod, err := netns.New()
	b.must(err)
	own, err := netns.New()
	b.must(err)
	t.Cleanup(func() { _, _ = pod.Close(), own.Close() })
	b.Node, b.Pod = inode(own), inode(pod)
	b.cable(pod)
	b.groups()
	b.must(netns.Set(pod))
	b.serve()
	b.must(netns.Set(own))
	t.Cleanup(func() {
		for _, each := range []net.Conn{b.conn, b.last} {
			if each != nil {
				_ = each.Close()
			}
		}
	})
	return b
}

func (b *Bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func inode(space netns.NsHandle) uint32 {
	var about unix.Stat_t
	_ = unix.Fstat(int(space), &about)
	return uint32(about.Ino)
}

func (b *Bed) cable(pod netns.NsHandle) {
	// Others first, so that the two ends do not have the same number.
	b.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "other"}, PeerName: "another"}))
	b.must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "vethbed"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(pod)}))
	here, err := netlink.NewHandle()
	b.must(err)
	defer here.Close()
	there, err := netlink.NewHandleAt(pod)
	b.must(err)
	defer there.Close()
	b.up(here, "vethbed", "10.217.0.1/24")
	b.up(there, "eth0", IP+"/24")
}

func (b *Bed) up(handle *netlink.Handle, name, address string) {
	device, err := handle.LinkByName(name)
	b.must(err)
	parsed, err := netlink.ParseAddr(address)
	b.must(err)
	b.must(handle.AddrAdd(device, parsed))
	b.must(handle.LinkSetUp(device))
}

// groups makes the container's control group in each hierarchy.
func (b *Bed) groups() {
	hierarchies, err := node.ReadHierarchies()
	b.must(err)
	parent := fmt.Sprintf("/perfrun-netwatch-bed-%d", os.Getpid())
	b.Cgroup = parent + "/" + b.Container
	for _, controller := range []string{"cpu", "cpuacct", "cpuset", "freezer"} {
		root, err := hierarchies.Group(controller, "/")
		b.must(err)
		if root.Version == 2 {
			_ = root.Write("cgroup.subtree_control", "+cpu +cpuset")
		}
		for _, path := range []string{parent, b.Cgroup} {
			b.group(root, filepath.Join(root.Path, path))
		}
	}
}

func (b *Bed) group(root node.Group, path string) {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		b.t.Fatal(err)
	}
	patience := 2 * time.Second
	if filepath.Base(path) != b.Container {
		// The parent's goes with the last bed in it.
		patience = 0
	}
	b.t.Cleanup(func() {
		for give := time.Now().Add(patience); os.Remove(path) != nil && time.Now().Before(give); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	parent := node.Group{Path: filepath.Dir(path), Version: root.Version}
	if root.Version == 2 {
		// A group that gives controllers to others cannot have processes of its own.
		if filepath.Base(path) != b.Container {
			_ = node.Group{Path: path, Version: 2}.Write("cgroup.subtree_control", "+cpu +cpuset")
		}
		return
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if value, err := parent.Read(file); err == nil {
			b.must(node.Group{Path: path, Version: 1}.Write(file, value))
		}
	}
}

func (b *Bed) serve() {
	server := exec.Command("/proc/self/exe", Serve)
	server.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := server.StdoutPipe()
	b.must(err)
	b.must(server.Start())
	b.PID = server.Process.Pid
	b.t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	hierarchies, err := node.ReadHierarchies()
	b.must(err)
	for _, controller := range []string{"cpu", "cpuacct", "cpuset", "freezer"} {
		group, err := hierarchies.Group(controller, b.Cgroup)
		b.must(err)
		b.must(group.Write("cgroup.procs", fmt.Sprint(b.PID)))
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		b.t.Fatalf("the server did not start: %q", line)
	}
}

// Answers tells whether the server answers within a time, on a connection that stays.
func (b *Bed) Answers(within time.Duration) bool {
	if b.conn == nil {
		// The thread's network namespace is the one that the connection is made in.
		conn, err := net.DialTimeout("tcp4", fmt.Sprintf("%s:%d", IP, Port), 2*time.Second)
		b.must(err)
		b.conn = conn
	}
	_ = b.conn.SetDeadline(time.Now().Add(within))
	if _, err := fmt.Fprintf(b.conn, "GET / HTTP/1.1\r\nHost: bed\r\n\r\n"); err != nil {
		return b.hangUp()
	}
	answer, err := http.ReadResponse(bufio.NewReader(b.conn), nil)
	if err != nil {
		return b.hangUp()
	}
	_ = answer.Body.Close()
	return true
}

// Pending is what was asked and not answered in time, on a connection that is kept.
type Pending struct{ conn net.Conn }

// Held asks, and is nil when the answer comes within a time.
func (b *Bed) Held(within time.Duration) *Pending {
	if b.Answers(within) {
		return nil
	}
	return &Pending{b.last}
}

// Awaited is how long the answer still takes.
func (p *Pending) Awaited(within time.Duration) (time.Duration, error) {
	from := time.Now()
	_ = p.conn.SetDeadline(from.Add(within))
	_, err := http.ReadResponse(bufio.NewReader(p.conn), nil)
	return time.Since(from), err
}

func (b *Bed) hangUp() bool {
	if b.last != nil {
		_ = b.last.Close()
	}
	b.last, b.conn = b.conn, nil
	return false
}

// Group is the container's control group for a controller.
func (b *Bed) Group(controller string) node.Group {
	hierarchies, err := node.ReadHierarchies()
	b.must(err)
	group, err := hierarchies.Group(controller, b.Cgroup)
	b.must(err)
	return group
}
