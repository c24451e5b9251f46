package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"perfrun.dev/netwatch/node"
)

// Folder holds the journals, on the node: those of /run are gone after a restart, as all spikes are.
var Folder = node.Path("run", "perfrun-spikes")

// Journal is what a watch is about to change or has changed, and who it is.
type Journal struct {
	Fault string   `json:"fault"`
	Boot  string   `json:"boot"`
	Node  uint32   `json:"node_netns"` // the network namespace of the node: several nodes may share a machine
	Watch Process  `json:"watch"`
	Guard Process  `json:"guard"`
	Open  []Record `json:"open"`
}

// Process names one process for ever.
type Process struct {
	PID  int    `json:"pid"`
	Born uint64 `json:"born"`
}

// Self is this process.
func Self() Process { return Process{os.Getpid(), node.Born(os.Getpid())} }

// Alive tells whether the process still runs.
func (p Process) Alive() bool { return p.PID > 0 && p.Born != 0 && node.Born(p.PID) == p.Born }

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$`)

// JournalPath is where the journal of a fault is kept.
func JournalPath(fault string) (string, error) {
	if !name.MatchString(fault) {
		return "", fmt.Errorf("fault: %q is no name of a fault; expected letters, digits, '.', '_' and '-'", fault)
	}
	return filepath.Join(Folder, fault+".json"), nil
}

// Write puts the journal in the place of the one before: a reader sees the old one or the new one, whole.
func (j *Journal) Write(path string) error {
	text, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("the journal's folder cannot be made: %w", err)
	}
	next := path + ".next"
	if err := writeDurably(next, text); err != nil {
		return fmt.Errorf("the journal cannot be written: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("the journal cannot be put in place: %w", err)
	}
	return syncFolder(filepath.Dir(path))
}

func writeDurably(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(text); err != nil {
		return err
	}
	return file.Sync()
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// ReadJournal reads one; an error that is fs.ErrNotExist means that there is none.
func ReadJournal(path string) (Journal, error) {
	var journal Journal
	text, err := os.ReadFile(path)
	if err != nil {
		return journal, err
	}
	if err := json.Unmarshal(text, &journal); err != nil {
		return journal, fmt.Errorf("journal %s cannot be read: %w", path, err)
	}
	return journal, nil
}

// RemoveJournal removes it, and the folder with the last one.
func RemoveJournal(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(path + ".next")
	_ = os.Remove(filepath.Dir(path))
	return nil
}

// Journals are the paths of all that there are.
func Journals() ([]string, error) {
	entries, err := os.ReadDir(Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the journals cannot be listed: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".json") {
			paths = append(paths, filepath.Join(Folder, entry.Name()))
		}
	}
	return paths, nil
}
