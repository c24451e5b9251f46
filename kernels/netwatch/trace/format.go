package trace

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
)

// format is how ftrace writes the events of a tracepoint, as the kernel tells it beside them.
type format struct {
	id     uint16
	fields map[string]field
	text   string
}

type field struct{ offset, size int }

var (
	formatID    = regexp.MustCompile(`(?m)^ID: (\d+)$`)
	formatField = regexp.MustCompile(`(?m)^\tfield:.*?(\w+)(?:\[\w*\])?;\toffset:(\d+);\tsize:(\d+);`)
	formatName  = regexp.MustCompile(`\{ (\d+), "(\w+)" \}`)
)

func readFormat(file string) (*format, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	number := formatID.FindSubmatch(text)
	if number == nil {
		return nil, fmt.Errorf("%s says no ID", file)
	}
	id, err := strconv.ParseUint(string(number[1]), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	f := &format{id: uint16(id), fields: map[string]field{}, text: string(text)}
	for _, found := range formatField.FindAllSubmatch(text, -1) {
		offset, _ := strconv.Atoi(string(found[2]))
		size, _ := strconv.Atoi(string(found[3]))
		f.fields[string(found[1])] = field{offset, size}
	}
	return f, nil
}

// names are those that the format gives to numbers.
func (f *format) names() map[uint32]string {
	names := map[uint32]string{}
	for _, found := range formatName.FindAllStringSubmatch(f.text, -1) {
		number, _ := strconv.ParseUint(found[1], 10, 32)
		names[uint32(number)] = found[2]
	}
	return names
}

func (f *format) bytes(data []byte, name string) []byte {
	at, ok := f.fields[name]
	if !ok || at.offset+at.size > len(data) {
		return nil
	}
	return data[at.offset : at.offset+at.size]
}

// number is a field's value, and 0 where the kernel has no such field.
func (f *format) number(data []byte, name string) uint64 {
	n := binary.NativeEndian
	switch raw := f.bytes(data, name); len(raw) {
	case 2:
		return uint64(n.Uint16(raw))
	case 4:
		return uint64(n.Uint32(raw))
	case 8:
		return n.Uint64(raw)
	}
	return 0
}

// name is that of a task or of a device; the latter's field says where in the event it is.
func (f *format) name(data []byte, name string) (to [16]byte) {
	raw := f.bytes(data, name)
	if len(raw) == 4 {
		place := binary.NativeEndian.Uint32(raw)
		if from := int(place & 0xffff); from < len(data) {
			raw = data[from:min(from+int(place>>16), len(data))]
		}
	}
	copy(to[:], raw)
	return to
}

// address is that of a socket (struct sockaddr_in or sockaddr_in6).
func (f *format) address(data []byte, name string) netip.Addr {
	raw := f.bytes(data, name)
	if len(raw) < 24 {
		return netip.IPv6Unspecified()
	}
	if family := binary.NativeEndian.Uint16(raw); family == 2 {
		return netip.AddrFrom4([4]byte(raw[4:8]))
	}
	return netip.AddrFrom16([16]byte(raw[8:24])).Unmap()
}
