package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// startPostgres runs a PostgreSQL of its own with its default settings, which sync every commit, and returns the URL
// of an empty database in it. PostgreSQL refuses to run as root: then it runs as the user that its package has made.
func startPostgres(dir string) (url string, stop func(), err error) {
	bin, err := postgresBin()
	if err != nil {
		return "", nil, err
	}
	data := filepath.Join(dir, "postgres")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", nil, err
	}
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return "", nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(data, uid, gid); err != nil {
			return "", nil, err
		}
		if err := os.Chmod(dir, 0o755); err != nil { // its own directory is below
			return "", nil, err
		}
	}
	command := func(name string, args ...string) error {
		c := exec.Command(filepath.Join(bin, name), args...)
		c.SysProcAttr, c.Dir = as, data
		if name == "pg_ctl" { // the server inherits what it is given and would keep a pipe open
			return c.Run()
		}
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Run(); err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out.Bytes())
		}
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	cluster := filepath.Join(data, "cluster")
	if err := command("initdb", "-D", cluster, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"); err != nil {
		return "", nil, err
	}
	options := fmt.Sprintf("-p %d -c listen_addresses=127.0.0.1 -c unix_socket_directories=%s", port, data)
	if err := command("pg_ctl", "-D", cluster, "-l", filepath.Join(data, "log"), "-w", "-o", options, "start"); err != nil {
		return "", nil, fmt.Errorf("pg_ctl start: %w", err)
	}
	stop = func() {
		if err := command("pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop"); err != nil {
			fmt.Fprintln(os.Stderr, "bench: stop PostgreSQL:", err)
		}
	}
	return fmt.Sprintf("postgres://bench@127.0.0.1:%d/postgres?sslmode=disable", port), stop, nil
}

func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	return filepath.Dir(path), err
}
