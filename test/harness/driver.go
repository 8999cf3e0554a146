package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// answerTimeout is longer than the clients' own socket timeouts.
const answerTimeout = 90 * time.Second

// Driver drives an unmodified client of another language in a process of its own.
// It is for one goroutine.
type Driver struct {
	name    string
	process *process
	logPath string
	in, out *os.File
	answers *bufio.Reader
}

// Answer is what the client had to say to one command.
type Answer struct {
	// BatchID is the id of a batch after get. An empty get has -1 with the Java
	// client and 0 with the Python client.
	BatchID int64   `json:"batchId"`
	Entries []Entry `json:"entries"`
	// Active is what a member of a Java election says: it runs the destination.
	Active bool `json:"active"`
	// Error is the exception that the client threw.
	Error string `json:"error"`
}

// Entry is an entry of a batch as the client's own classes read it.
type Entry struct {
	EntryType   string            `json:"entryType"`
	EventType   string            `json:"eventType"` // the header's
	Schema      string            `json:"schema"`
	Table       string            `json:"table"`
	File        string            `json:"file"`
	Offset      int64             `json:"offset"`
	EventLength int64             `json:"eventLength"`
	ExecuteTime int64             `json:"executeTime"` // milliseconds
	ServerID    int64             `json:"serverId"`
	Charset     string            `json:"charset"`
	GTID        string            `json:"gtid"`
	Props       map[string]string `json:"props"`
	// ThreadID is set in a TRANSACTIONBEGIN, TransactionID in a TRANSACTIONEND,
	// the rest in a ROWDATA entry.
	ThreadID      int64  `json:"threadId"`
	TransactionID string `json:"transactionId"`
	RowEventType  string `json:"rowEventType"`
	TableID       int64  `json:"tableId"`
	IsDDL         bool   `json:"isDdl"`
	SQL           string `json:"sql"`
	DDLSchema     string `json:"ddlSchema"`
	Rows          []Row  `json:"rows"`
}

// Row is a changed row.
type Row struct {
	Before []Column `json:"before"`
	After  []Column `json:"after"`
}

// Column is one column of a row image.
type Column struct {
	Index     int               `json:"index"`
	Name      string            `json:"name"`
	Value     string            `json:"value"`
	IsNull    bool              `json:"isNull"`
	IsKey     bool              `json:"isKey"`
	Updated   bool              `json:"updated"`
	SQLType   int               `json:"sqlType"`
	MySQLType string            `json:"mysqlType"`
	Length    int               `json:"length"`
	Props     map[string]string `json:"props"`
}

// JavaClient starts a driver of Canal's Java client 1.1.8. It ends with the test.
func JavaClient(t testing.TB) *Driver {
	t.Helper()
	return startDriver(t, "java-client", func(part, folder string) *exec.Cmd {
		return exec.Command("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
			"-cp", filepath.Join(part, "lib", "*"), filepath.Join(folder, "java", "CanalDrive.java"))
	})
}

// PythonClient starts a driver of the Python client canal-python 0.4. It ends
// with the test. It speaks the same commands as the Java driver.
func PythonClient(t testing.TB) *Driver {
	t.Helper()
	return startDriver(t, "python-client", func(part, folder string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(part, "venv", "bin", "python"), "-B", filepath.Join(folder, "python", "canal_drive.py"))
		cmd.Env = append(os.Environ(), "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python", "PYTHONIOENCODING=utf-8")
		return cmd
	})
}

// JavaElection starts a driver of the election of Java's servers, without a
// server. Its commands are
//
//	join ZOOKEEPERS DESTINATION ADDRESS
//	look
//	leave
func JavaElection(t testing.TB) *Driver {
	t.Helper()
	return startDriver(t, "java-client", func(part, folder string) *exec.Cmd {
		return exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
			"-cp", filepath.Join(part, "lib", "*"), filepath.Join(folder, "java", "CanalElect.java"))
	})
}

// JavaServer starts a driver of a whole Java server 1.1.7 of one destination. It
// needs a source that knows SHOW MASTER STATUS. Its commands are
//
//	serve ZOOKEEPERS DESTINATION ADDRESS SOURCE USER PASSWORD SLAVE FILTER
//	look
//	leave
func JavaServer(t testing.TB) *Driver {
	t.Helper()
	return startDriver(t, "java-server", func(part, folder string) *exec.Cmd {
		return exec.Command("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8",
			"-cp", filepath.Join(part, "lib", "*"), filepath.Join(folder, "java", "CanalServe.java"))
	})
}

func startDriver(t testing.TB, part string, command func(part, folder string) *exec.Cmd) *Driver {
	t.Helper()
	d, err := newDriver(t.Context(), part, filepath.Join(t.TempDir(), part+".log"), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

func newDriver(ctx context.Context, part, logPath string, command func(part, folder string) *exec.Cmd) (*Driver, error) {
	dir, err := ensurePart(ctx, part)
	if err != nil {
		return nil, err
	}
	folder, err := testFolder()
	if err != nil {
		return nil, err
	}
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", part, err)
	}
	defer childIn.Close()
	out, childOut, err := os.Pipe()
	if err != nil {
		_ = in.Close()
		return nil, fmt.Errorf("start the %s: %w", part, err)
	}
	defer childOut.Close()

	cmd := command(dir, folder)
	cmd.Stdin = childIn
	cmd.Stdout = childOut
	p, err := startProcess(cmd, logPath)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", part, err), in.Close(), out.Close())
	}
	return &Driver{name: part, process: p, logPath: logPath, in: in, out: out, answers: bufio.NewReader(out)}, nil
}

// Do sends one command and waits for its answer. The commands are
//
//	connect HOST PORT DESTINATION [USER PASSWORD]
//	cluster ZOOKEEPERS DESTINATION (Java only)
//	subscribe [FILTER]
//	get SIZE [TIMEOUT_MILLIS]
//	ack ID
//	rollback [ID]
//	unsubscribe
//	disconnect
//
// The error tells that the client threw (then Answer.Error holds the exception)
// or that the driver itself did not answer.
func (d *Driver) Do(command string) (Answer, error) {
	var answer Answer
	if _, err := d.in.WriteString(command + "\n"); err != nil {
		return answer, fmt.Errorf("%s: %s: %w\n%s", d.name, command, err, tail(d.logPath))
	}
	if err := d.out.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return answer, fmt.Errorf("%s: %s: %w", d.name, command, err)
	}
	line, err := d.answers.ReadBytes('\n')
	if err != nil {
		return answer, fmt.Errorf("%s: %s: no answer: %w\n%s", d.name, command, err, tail(d.logPath))
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return answer, fmt.Errorf("%s: %s: read the answer: %w", d.name, command, err)
	}
	if answer.Error != "" {
		return answer, fmt.Errorf("%s: %s: %s", d.name, command, answer.Error)
	}
	return answer, nil
}

// Must is Do that fails the test on an error.
func (d *Driver) Must(t testing.TB, command string) Answer {
	t.Helper()
	answer, err := d.Do(command)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// Kill ends the client's process at once, as a crash of its machine's would.
func (d *Driver) Kill() { d.process.kill() }

func (d *Driver) close() {
	d.process.kill()
	_ = d.in.Close()
	_ = d.out.Close()
}
