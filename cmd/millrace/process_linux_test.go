package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel kill the child when the test dies, however that
// happens.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
