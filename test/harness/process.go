package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is a child of this process that does not outlive it.
type process struct {
	cmd *exec.Cmd
	// done is closed when the child is gone; err, its end, may be read then.
	done chan struct{}
	err  error
}

// startProcess runs a program in a goroutine of its own that stays locked to its
// thread until the program ends: the kernel sends the death signal when the
// thread that started the child goes, not only when the whole process does. What
// the program prints is added to the log file; a Stdout that is set stays.
func startProcess(cmd *exec.Cmd, logPath string) (*process, error) {
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = logFile
	}
	p.cmd.Stderr = logFile
	p.cmd.SysProcAttr = deathSignal()
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer logFile.Close()
		defer close(p.done)
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// deathSignal makes a child end with this process and keeps the terminal's
// interrupts away from it: who started it stops it in order.
func deathSignal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// stop asks the process to end and kills it when it does not within the limit.
func (p *process) stop(limit time.Duration) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("process %d was still there after %s", p.cmd.Process.Pid, limit)
	}
}

func (p *process) kill() {
	// An error means that it is gone already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// tail returns the end of a log file for an error message.
func tail(path string) string {
	const most = 4096
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-most):])
}

// testFolder finds the folder test of the source tree: upwards from the working
// folder, as the tests have it, or beside this file as it was compiled.
func testFolder() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	for {
		folder := filepath.Join(dir, "test")
		if _, err := os.Stat(filepath.Join(folder, "parts", "get.sh")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	_, file, _, _ := runtime.Caller(0)
	folder := filepath.Dir(filepath.Dir(file))
	if _, err := os.Stat(filepath.Join(folder, "parts", "get.sh")); err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	return folder, nil
}
