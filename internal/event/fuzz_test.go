package event_test

import (
	"testing"

	"github.com/canald/canald/internal/event"
)

func seed(f *testing.F, types ...event.Type) {
	f.Helper()
	for _, name := range files {
		for _, b := range recorded(f, name) {
			for _, t := range types {
				if b[4] == byte(t) {
					f.Add(b)
					f.Add(b[:len(b)-event.ChecksumLen])
				}
			}
		}
	}
	f.Add([]byte{})
}

func FuzzHeader(f *testing.F) {
	seed(f, event.TypeXID)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := event.ParseHeader(b)
		if (err == nil) != (len(b) >= event.HeaderLen) {
			t.Error(err)
		}
		if s := h.Start(); s != 0 && s+h.Length != h.LogPos {
			t.Error(s, h)
		}
	})
}

// FuzzEvent sends any bytes through the parser of the type that they name.
func FuzzEvent(f *testing.F) {
	for i := range 256 {
		seed(f, event.Type(i))
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _ = parse(b) })
}

func FuzzTableMap(f *testing.F) {
	seed(f, event.TypeTableMap)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := event.ParseTableMap(b)
		if err != nil {
			return
		}
		if len(m.Columns) > event.MaxColumns || len(m.Schema) > 255 || len(m.Table) > 255 {
			t.Errorf("%d columns, names of %d and %d bytes", len(m.Columns), len(m.Schema), len(m.Table))
		}
		for _, c := range m.Columns {
			if c.Type == event.ColString && c.Meta > 1023 {
				t.Errorf("string of %d bytes", c.Meta)
			}
		}
	})
}

func FuzzRowsHeader(f *testing.F) {
	for _, name := range files {
		for _, b := range recorded(f, name) {
			if kind, version, _ := event.Type(b[4]).Rows(); kind != event.NotRows {
				f.Add(b, version, kind == event.Update)
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, version int, update bool) {
		r, err := event.ParseRowsHeader(b, version, update)
		if err != nil {
			return
		}
		if r.Images > len(b) || len(r.Before) != (r.Columns+7)/8 || update && len(r.After) != len(r.Before) {
			t.Errorf("%+v of %d bytes", r, len(b))
		}
	})
}

func FuzzQuery(f *testing.F) {
	seed(f, event.TypeQuery)
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := event.ParseQuery(b); err == nil && event.HeaderLen+13+len(q.Status)+len(q.Schema)+1+len(q.SQL) != len(b) {
			t.Errorf("%+v of %d bytes", q, len(b))
		}
	})
}

func FuzzPayload(f *testing.F) {
	f.Add(whole(event.TypeTransactionPayload, []byte{2, 1, 0, 3, 3, 0xfc, 44, 1, 1, 1, 5, 0, 1, 2, 3, 4, 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := event.ParsePayload(b); err == nil && (p.Body > len(b) || p.Body <= event.HeaderLen) {
			t.Errorf("body at %d of %d", p.Body, len(b))
		}
	})
}

func FuzzFormat(f *testing.F) {
	seed(f, event.TypeFormatDescription)
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := event.ParseFormat(b); err == nil && len(v.ServerVersion) > 50 {
			t.Errorf("version of %d bytes", len(v.ServerVersion))
		}
	})
}

func FuzzUserVar(f *testing.F) {
	f.Add(whole(event.TypeUserVar, []byte{1, 0, 0, 0, 'a', 0, 2, 45, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if v, err := event.ParseUserVar(b); err == nil {
			_ = v.Integer()
		}
	})
}

// The status variables of a statement are read, or passed over.
func FuzzParseSession(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 1, 4, 0, 16, 0, 0, 0, 0, 0, 6, 3, 's', 't', 'd', 4, 45, 0, 45, 0, 8, 0})
	f.Add([]byte{2, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := event.ParseSession(b)
		if s.Collation != 0 && len(b) < 7 {
			t.Errorf("a collation from %d bytes", len(b))
		}
		_ = event.MariaAlterUnsettled(b)
	})
}
