package main

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
)

// recordSize is the size of one record, little-endian: number u64, intended i64, handled i64, sent i64 (-1: never),
// done i64 (all in nanoseconds after the start), server u16, status u16, outcome u8, attempts u8, reserved u16.
const recordSize = 48

// sheetRecords is how many records a loop gathers before it hands them to the writer.
const sheetRecords = 4096

const recordMagic = "PERFRUN1"

// Records writes every request's record to a gzip file, aside from the loops: a full disk or a slow one loses
// records, which is counted, but delays no request.
type Records struct {
	chunks  chan []byte
	done    chan error
	written atomic.Uint64
	lost    atomic.Uint64
}

// sheet gathers one loop's records.
type sheet struct {
	records *Records
	chunk   []byte
}

func newRecords(path string) (*Records, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("the file for records cannot be made: %w", err)
	}
	r := &Records{chunks: make(chan []byte, 64), done: make(chan error, 1)}
	go r.write(file)
	return r, nil
}

func (r *Records) write(file *os.File) {
	packer, _ := gzip.NewWriterLevel(file, gzip.BestSpeed)
	_, err := packer.Write([]byte(recordMagic))
	for chunk := range r.chunks {
		if err == nil {
			_, err = packer.Write(chunk)
		}
		if err != nil {
			r.lost.Add(uint64(len(chunk) / recordSize))
		} else {
			r.written.Add(uint64(len(chunk) / recordSize))
		}
	}
	if closing := packer.Close(); err == nil {
		err = closing
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	r.done <- err
}

func (r *Records) close() error {
	close(r.chunks)
	return <-r.done
}

func (s *sheet) add(q *Request, now int64) {
	b := s.chunk
	b = binary.LittleEndian.AppendUint64(b, q.number)
	for _, t := range [...]int64{q.intended, q.handled, q.sent, now} {
		b = binary.LittleEndian.AppendUint64(b, uint64(t))
	}
	b = binary.LittleEndian.AppendUint16(b, q.server)
	b = binary.LittleEndian.AppendUint16(b, q.status)
	attempts := byte(0)
	if q.started {
		attempts = q.attempt + 1
	}
	b = append(b, byte(q.outcome), attempts, 0, 0)
	s.chunk = b
	if len(b)+recordSize > cap(b) {
		s.flush()
	}
}

func (s *sheet) flush() {
	if len(s.chunk) == 0 {
		return
	}
	select {
	case s.records.chunks <- s.chunk:
	default:
		s.records.lost.Add(uint64(len(s.chunk) / recordSize))
	}
	s.chunk = make([]byte, 0, sheetRecords*recordSize)
}
