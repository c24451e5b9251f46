package topology

import (
	"fmt"
	"os"
	"strings"
)

// Listener is the process that listens on a TCP port of the namespace; of several, as of a server with workers, the
// first. It is 0 where none is seen.
func (s Space) Listener(port int) int {
	sockets := map[string]bool{}
	for _, pid := range s.PIDs {
		for _, file := range []string{"tcp", "tcp6"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				// Local address, then state (0A is listening), and in the tenth field the socket's inode.
				fields := strings.Fields(line)
				if len(fields) > 9 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
					sockets["socket:["+fields[9]+"]"] = true
				}
			}
		}
		if len(sockets) > 0 {
			break
		}
	}
	for _, pid := range s.PIDs {
		folder := fmt.Sprintf("/proc/%d/fd", pid)
		entries, _ := os.ReadDir(folder)
		for _, entry := range entries {
			if link, err := os.Readlink(folder + "/" + entry.Name()); err == nil && sockets[link] {
				return pid
			}
		}
	}
	return 0
}
