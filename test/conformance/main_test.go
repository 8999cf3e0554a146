// Package conformance runs today's Canal clients, unmodified, against the canald
// binary that follows a real server.
package conformance

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// stage is a schema with a table, and a destination of its name that follows it.
type stage struct {
	s    *harness.Server
	c    *harness.Canald
	name string
	next int
}

func newStage(t *testing.T, v harness.Version, name, main string) *stage {
	t.Helper()
	s := harness.Shared(t, v)
	s.Exec(t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name, "CREATE TABLE "+name+".t (id INT PRIMARY KEY, v VARCHAR(40))")
	c := harness.StartCanald(t, s, main, map[string]string{name: "canal.instance.filter.regex=" + name + `\\..*`})
	return &stage{s: s, c: c, name: name}
}

// insert writes n rows, each in a transaction of its own, and returns their ids.
func (st *stage) insert(t *testing.T, n int) []string {
	t.Helper()
	sql := make([]string, n)
	ids := make([]string, n)
	for i := range n {
		st.next++
		sql[i] = fmt.Sprintf("INSERT INTO %s.t VALUES (%d, 'row %d')", st.name, st.next, st.next)
		ids[i] = strconv.Itoa(st.next)
	}
	st.s.Exec(t, sql...)
	return ids
}

func (st *stage) connect() string {
	host, port, _ := net.SplitHostPort(st.c.Addr)
	return strings.Join([]string{"connect", host, port, st.name}, " ")
}

// ids are the keys of the rows of a batch.
func ids(a harness.Answer) []string {
	var list []string
	for _, e := range a.Entries {
		for _, r := range e.Rows {
			columns := r.After
			if len(columns) == 0 {
				columns = r.Before
			}
			list = append(list, columns[0].Value)
		}
	}
	return list
}

// collect gets and acknowledges until n rows came.
func collect(t *testing.T, d *harness.Driver, n int) []string {
	t.Helper()
	var got []string
	for end := time.Now().Add(30 * time.Second); len(got) < n && time.Now().Before(end); {
		a := d.Must(t, "get 1000 200")
		if a.BatchID <= 0 {
			continue
		}
		got = append(got, ids(a)...)
		d.Must(t, fmt.Sprintf("ack %d", a.BatchID))
	}
	return got
}

// batch gets one batch that is not empty, without acknowledging it.
func batch(t *testing.T, d *harness.Driver, command string) harness.Answer {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if a := d.Must(t, command); a.BatchID > 0 {
			return a
		}
	}
	t.Fatal("no batch came")
	return harness.Answer{}
}
