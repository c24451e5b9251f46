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

// in gives the field's bytes of an event, and none where the kernel has no such field.
func (f field) in(data []byte) []byte {
	if f.offset+f.size > len(data) {
		return nil
	}
	return data[f.offset : f.offset+f.size]
}

func (f field) number(data []byte) uint64 {
	n := binary.NativeEndian
	switch raw := f.in(data); len(raw) {
	case 2:
		return uint64(n.Uint16(raw))
	case 4:
		return uint64(n.Uint32(raw))
	case 8:
		return n.Uint64(raw)
	}
	return 0
}

func (f field) signed(data []byte) int32 { return int32(f.number(data)) }

// name is that of a task or of a device; the latter's field says where in the event it is.
func (f field) name(data []byte) (to [16]byte) {
	raw := f.in(data)
	if len(raw) == 4 {
		place := binary.NativeEndian.Uint32(raw)
		if from := int(place & 0xffff); from < len(data) {
			raw = data[from:min(from+int(place>>16), len(data))]
		}
	}
	copy(to[:], raw)
	return to
}

// address is that of a socket (struct sockaddr_in or sockaddr_in6), as IPv6 has it.
func (f field) address(data []byte) [16]byte {
	raw := f.in(data)
	if len(raw) < 24 {
		return [16]byte{}
	}
	if family := binary.NativeEndian.Uint16(raw); family == 2 {
		return netip.AddrFrom4([4]byte(raw[4:8])).As16()
	}
	return [16]byte(raw[8:24])
}
