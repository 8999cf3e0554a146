package client

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
)

// Change is what one entry says: rows of a table, or a statement.
type Change struct {
	Schema, Table string            // empty where a statement names none
	Kind          canalpb.EventType // INSERT, UPDATE, DELETE, or that of a statement
	Time          time.Time         // of the event, whole seconds
	File          string            // of the binlog
	Offset        int64             // of the event in it
	GTID          string            // set of transactions, in GTID mode
	IsDDL         bool
	SQL           string // of a statement
	Rows          []Row
}

// Row is one row before and after a change: an insert has no before, a delete no after.
type Row struct{ Before, After Columns }

// Columns are those of one row, in the table's order.
type Columns []*canalpb.Column

// NewChange decodes an entry of the type ROWDATA.
func NewChange(e *canalpb.Entry) (Change, error) {
	var rc canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
		return Change{}, fmt.Errorf("decode row change: %w", err)
	}
	h := e.GetHeader()
	c := Change{
		Schema: h.GetSchemaName(), Table: h.GetTableName(), Kind: rc.GetEventType(), Time: time.UnixMilli(h.GetExecuteTime()),
		File: h.GetLogfileName(), Offset: h.GetLogfileOffset(), GTID: h.GetGtid(), IsDDL: rc.GetIsDdl(), SQL: rc.GetSql(),
	}
	for _, r := range rc.GetRowDatas() {
		c.Rows = append(c.Rows, Row{r.GetBeforeColumns(), r.GetAfterColumns()})
	}
	return c, nil
}

// Errors of a column's value.
var (
	ErrNoColumn = errors.New("no such column in the row")
	ErrNull     = errors.New("column is NULL")
)

// Get finds a column by its name; nil when the row has none.
func (c Columns) Get(name string) *canalpb.Column {
	for _, col := range c {
		if col.GetName() == name {
			return col
		}
	}
	return nil
}

// Text is a column's value as it was sent. The error is ErrNoColumn or ErrNull.
func (c Columns) Text(name string) (string, error) {
	col := c.Get(name)
	switch {
	case col == nil:
		return "", fmt.Errorf("%s: %w", name, ErrNoColumn)
	case col.GetIsNull():
		return "", fmt.Errorf("%s: %w", name, ErrNull)
	}
	return col.GetValue(), nil
}

// Int is the value of an integer column that fits 64 bits with a sign.
func (c Columns) Int(name string) (int64, error) {
	text, err := c.Text(name)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Float is the value of a FLOAT or DOUBLE column, or what a DECIMAL is nearest to.
func (c Columns) Float(name string) (float64, error) {
	text, err := c.Text(name)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Time is the value of a DATE, DATETIME or TIMESTAMP column. A DATETIME has no zone,
// and a TIMESTAMP is sent in the server's, so loc is whatever they are meant in. A
// date that is zero in a part is an error.
func (c Columns) Time(name string, loc *time.Location) (time.Time, error) {
	text, err := c.Text(name)
	if err != nil {
		return time.Time{}, err
	}
	layout := "2006-01-02 15:04:05"
	if len(text) == len("2006-01-02") {
		layout = "2006-01-02"
	}
	v, err := time.ParseInLocation(layout, text, loc)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// Bytes is the value of a BINARY, VARBINARY or BLOB column, which is sent as text
// of one character for each byte.
func (c Columns) Bytes(name string) ([]byte, error) {
	text, err := c.Text(name)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			return nil, fmt.Errorf("%s: text, not bytes", name)
		}
		raw = append(raw, byte(r))
	}
	return raw, nil
}
