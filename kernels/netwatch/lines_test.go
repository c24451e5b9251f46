package main

import (
	"bufio"
	"io"
	"strings"
	"testing"
	"time"
)

func TestAReaderThatIsSlowHoldsNobodyUpAndMissesNothing(t *testing.T) {
	reader, writer := io.Pipe()
	told := newLines(writer, func() { t.Error("the reader was taken to be gone") })
	began := time.Now()
	for range 1000 {
		told.write(lostLine{"lost", 1, "10.0.0.1", strings.Repeat("x", 1000)})
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("nobody read, and writing took %v", took)
	}
	read := make(chan int)
	go func() {
		count := 0
		for from := bufio.NewScanner(reader); from.Scan(); {
			count++
		}
		read <- count
	}()
	told.close()
	_ = writer.Close()
	if count := <-read; count != 1000 {
		t.Errorf("%d lines of 1000 arrived", count)
	}
}

func TestAReaderThatIsGoneIsTold(t *testing.T) {
	reader, writer := io.Pipe()
	_ = reader.Close()
	broken := make(chan bool, 10)
	told := newLines(writer, func() { broken <- true })
	told.write(lostLine{Type: "lost"})
	told.close()
	if len(broken) == 0 {
		t.Error("nobody was told that nobody reads")
	}
}
