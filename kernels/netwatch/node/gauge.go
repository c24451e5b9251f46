package node

import (
	"bytes"
	"os"
	"slices"
	"strconv"
)

// Gauge is a file of lines "name number" that is kept open, for it is looked at many times a second: to find it anew costs
// more than to read it.
type Gauge struct {
	file *os.File
	text []byte
}

// Gauge opens one of the group's files; where it cannot be read, all its numbers are 0.
func (g Group) Gauge(file string) *Gauge {
	opened, _ := os.Open(g.File(file))
	return &Gauge{opened, make([]byte, 4096)}
}

// Read gives the numbers of names as they are now; those that are not there are 0.
func (g *Gauge) Read(names ...string) []uint64 {
	n, _ := g.file.ReadAt(g.text, 0)
	return numbers(g.text[:n], names...)
}

// numbers gives those of names in lines "name number"; those that are not there are 0.
func numbers(text []byte, names ...string) []uint64 {
	found := make([]uint64, len(names))
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if i := slices.IndexFunc(names, func(each string) bool { return each == string(name) }); i >= 0 {
			found[i], _ = strconv.ParseUint(string(value), 10, 64)
		}
	}
	return found
}
