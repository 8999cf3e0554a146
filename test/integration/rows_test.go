package integration

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/test/harness"
)

func TestRowsArrive(t *testing.T) {
	each(t, func(t *testing.T, s *harness.Server) {
		s.Exec(t, "DROP DATABASE IF EXISTS rows1", "CREATE DATABASE rows1", "CREATE TABLE rows1.t (id INT PRIMARY KEY, a VARCHAR(20), b DECIMAL(10,2))")
		c := start(t, "", config(s, "rows1", 4101))
		conn := connect(t, c, "rows1", 1001)
		s.Exec(t, "INSERT INTO rows1.t VALUES (1,'one',1.5),(2,NULL,-2)", "UPDATE rows1.t SET a='two' WHERE id=2", "DELETE FROM rows1.t WHERE id=1")
		var got []string
		drain(t, conn, func(e *canalpb.Entry) bool {
			if e.GetEntryType() != canalpb.EntryType_ROWDATA || e.GetHeader().GetTableName() != "t" {
				return false
			}
			var rc canalpb.RowChange
			if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
				t.Fatal(err)
			}
			for _, r := range rc.GetRowDatas() {
				line := rc.GetEventType().String()
				var lineSb29 strings.Builder
				for _, col := range append(r.GetBeforeColumns(), r.GetAfterColumns()...) {
					v := col.GetValue()
					if col.GetIsNull() {
						v = "NULL"
					}
					lineSb29.WriteString(" " + col.GetName() + "=" + v)
				}
				line += lineSb29.String()
				got = append(got, line)
			}
			return rc.GetEventType() == canalpb.EventType_DELETE
		})
		want := []string{
			"INSERT id=1 a=one b=1.50", "INSERT id=2 a=NULL b=-2.0",
			"UPDATE id=2 a=NULL b=-2.0 id=2 a=two b=-2.0", "DELETE id=1 a=one b=1.50",
		}
		if len(got) != len(want) {
			t.Fatalf("got %q", got)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("row %d: got %q, want %q", i, got[i], want[i])
			}
		}
	})
}
