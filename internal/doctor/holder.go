package doctor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Holder is a process that listens on a port.
type Holder struct {
	PID     int
	Program string
}

// String is "nginx (process 123)".
func (h Holder) String() string { return fmt.Sprintf("%s (process %d)", h.Program, h.PID) }

// HolderOf finds out who listens on a TCP port of this machine. ok is false where the system does not let us see that:
// the process belongs to another user or container, or there is no /proc.
func HolderOf(port int) (_ Holder, ok bool) {
	sockets := listening(port)
	if len(sockets) == 0 {
		return Holder{}, false
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return Holder{}, false
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !sockets[to] {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		name := "a program"
		if exe, err := os.Readlink(dir + "/exe"); err == nil {
			name = filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
		} else if comm, err := os.ReadFile(dir + "/comm"); err == nil {
			name = strings.TrimSpace(string(comm))
		}
		return Holder{PID: pid, Program: name}, true
	}
	return Holder{}, false
}

// listening returns the sockets that listen on a port, as links in /proc name them.
func listening(port int) map[string]bool {
	const listen = "0A" // the state, in the kernel's table
	sockets, suffix := map[string]bool{}, fmt.Sprintf(":%04X", port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for in := bufio.NewScanner(f); in.Scan(); {
			// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
			if c := strings.Fields(in.Text()); len(c) > 9 && c[3] == listen && strings.HasSuffix(c[1], suffix) {
				sockets["socket:["+c[9]+"]"] = true
			}
		}
		_ = f.Close()
	}
	return sockets
}

// PortTaken says who holds a port that can't be listened on, and what to do, in a sentence.
func PortTaken(port int) string {
	other := port + 1
	if other > 65535 {
		other = port - 1
	}
	do := fmt.Sprintf("see who holds it with `ss -ltnp | grep :%[1]d` or `lsof -i :%[1]d`, or set PORT to another one: PORT=%[2]d", port, other)
	if h, ok := HolderOf(port); ok {
		return fmt.Sprintf("port %d is already in use by %s: end that with `kill %d`, or set PORT to another one: PORT=%d", port, h, h.PID, other)
	}
	return fmt.Sprintf("port %d is already in use: %s", port, do)
}
