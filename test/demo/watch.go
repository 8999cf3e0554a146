package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
)

// arrived is what came at the client, beside what was written.
type arrived struct {
	rows, written int
}

// patience is how long the client waits for rows that were written.
const patience = 10 * time.Second

// watch prints rows until all that was written has come, or patience is over.
func watch(ctx context.Context, conn *client.Conn, written <-chan result) (a arrived, err error) {
	open := true
	var closed time.Time
	for {
		select {
		case r := <-written:
			if r.err != nil {
				return a, r.err
			}
			open, closed = false, time.Now()
			a.written = r.rows
		default:
		}
		if !open && (a.rows >= a.written || time.Since(closed) > patience) {
			return a, ctx.Err()
		}
		m, err := conn.GetWithoutAck(ctx, 100, 100*time.Millisecond)
		if err != nil {
			return a, err
		}
		if m.ID == client.NoBatch {
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			return a, err
		}
		for _, e := range entries {
			n, err := show(e)
			if err != nil {
				return a, err
			}
			a.rows += n
		}
		if err := conn.Ack(ctx, m.ID); err != nil {
			return a, err
		}
	}
}

// show prints the rows of an entry and returns how many those are.
func show(e *canalpb.Entry) (int, error) {
	if e.GetEntryType() != canalpb.EntryType_ROWDATA || e.GetHeader().GetSchemaName() != schema {
		return 0, nil
	}
	var change canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &change); err != nil {
		return 0, err
	}
	table := fmt.Sprintf("%-9s", e.GetHeader().GetTableName())
	for _, r := range change.GetRowDatas() {
		switch change.GetEventType() {
		case canalpb.EventType_INSERT:
			fmt.Println(green("+ "+table), values(r.GetAfterColumns()))
		case canalpb.EventType_DELETE:
			fmt.Println(red("- "+table), values(r.GetBeforeColumns()))
		default:
			fmt.Println(yellow("~ "+table), changes(r))
		}
	}
	return len(change.GetRowDatas()), nil
}

func values(columns []*canalpb.Column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.GetName() + "=" + value(c)
	}
	return strings.Join(parts, " ")
}

// changes shows the key and, old → new, the columns that changed.
func changes(r *canalpb.RowData) string {
	before := map[int32]*canalpb.Column{}
	for _, c := range r.GetBeforeColumns() {
		before[c.GetIndex()] = c
	}
	var parts []string
	for _, c := range r.GetAfterColumns() {
		switch {
		case c.GetUpdated():
			parts = append(parts, c.GetName()+"="+value(before[c.GetIndex()])+" → "+bold(value(c)))
		case c.GetIsKey():
			parts = append(parts, c.GetName()+"="+value(c))
		}
	}
	return strings.Join(parts, " ")
}

func value(c *canalpb.Column) string {
	if c == nil || c.GetIsNull() {
		return "NULL"
	}
	return c.GetValue()
}

// coloured is true on a terminal, unless NO_COLOR asks for none.
var coloured = func() bool {
	st, err := os.Stdout.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}()

func paint(code, s string) string {
	if !coloured {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func green(s string) string  { return paint("32", s) }
func red(s string) string    { return paint("31", s) }
func yellow(s string) string { return paint("33", s) }
func bold(s string) string   { return paint("1", s) }
