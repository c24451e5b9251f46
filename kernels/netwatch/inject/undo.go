package inject

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"perfrun.dev/netwatch/node"
)

// Thing is something that a watch left, or that could not be taken back.
type Thing struct {
	Fault   string `json:"fault,omitempty"`
	Kind    string `json:"kind"`
	Where   string `json:"where"`
	Message string `json:"message,omitempty"`
}

// Swept is the answer to undo.
type Swept struct {
	Found []Thing  `json:"found"`
	Left  []Thing  `json:"left"`
	Busy  []string `json:"busy"` // faults whose watch still runs, and was left alone
}

// Sweep removes what watches left that are gone. A fault that is named is ended before, even when its watch still runs.
func Sweep(fault string) (Swept, error) {
	swept := Swept{Found: []Thing{}, Left: []Thing{}, Busy: []string{}}
	paths, err := Journals()
	if err != nil {
		return swept, err
	}
	if fault != "" {
		path, err := JournalPath(fault)
		if err != nil {
			return swept, err
		}
		if _, err := os.Stat(path); err == nil {
			paths = append(paths, path)
		}
	}
	seen := map[string]bool{}
	for _, path := range paths {
		if !seen[path] {
			seen[path] = true
			swept.journal(path, fault)
		}
	}
	if len(swept.Busy) == 0 {
		swept.strays()
	}
	return swept, nil
}

func (s *Swept) journal(path, wanted string) {
	journal, err := ReadJournal(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		// Nothing in it can be used; it is removed so that it does not stand in the way for ever.
		s.Found = append(s.Found, Thing{Kind: "journal", Where: path, Message: err.Error()})
		if err := RemoveJournal(path); err != nil {
			s.Left = append(s.Left, Thing{Kind: "journal", Where: path, Message: err.Error()})
		}
		return
	}
	if journal.Fault != wanted && elsewhere(journal) {
		return
	}
	if journal.Watch.Alive() {
		if journal.Fault != wanted {
			s.Busy = append(s.Busy, journal.Fault)
			return
		}
		end(journal.Watch)
	}
	for _, record := range journal.Open {
		s.Found = append(s.Found, Thing{Fault: journal.Fault, Kind: record.Kind, Where: place(record)})
	}
	if err := clear(path, time.Second); err != nil {
		s.Left = append(s.Left, Thing{Fault: journal.Fault, Kind: "journal", Where: path, Message: err.Error()})
	}
}

// elsewhere: the journal is another node's, which has the same file system.
func elsewhere(journal Journal) bool {
	if journal.Boot != node.Boot() || journal.Node == number(ownNetNS) {
		return false
	}
	there, err := find(journal.Node)
	if there >= 0 {
		_ = there.Close()
	}
	return err != nil || there >= 0
}

// end ends a watch: by asking it, which undoes all, and then without.
func end(watch Process) {
	for _, each := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !watch.Alive() {
			return
		}
		_ = syscall.Kill(watch.PID, each)
		for give := time.Now().Add(3 * time.Second); watch.Alive() && time.Now().Before(give); {
			time.Sleep(look)
		}
	}
}

func place(record Record) string {
	switch {
	case len(record.Files) > 0:
		return record.Files[0].Group.Path
	case record.Bound != nil:
		return record.Bound.Group.Path
	case record.Kind == NFQueue:
		return fmt.Sprintf("pod %s", record.IP)
	}
	return record.Device
}
