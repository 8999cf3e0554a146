package filter_test

import (
	"testing"

	"github.com/canald/canald/internal/filter"
)

func TestColumns(t *testing.T) {
	white := filter.ParseColumns("shop.order:id/Total, shop.item :id,bad,worse:a:b,:x")
	black := filter.ParseColumns("shop.order:note,shop.person:phone/ mail")
	for _, c := range []struct {
		table, column string
		all, want     bool
	}{
		{"order", "ID", false, true},
		{"order", "total", false, true},
		{"order", "note", false, false},
		{"order", "other", false, false}, // the white list decides alone
		{"ORDER", "id", false, true},
		{"item", "id", false, true},
		{"person", "Phone", false, false},
		{"person", "mail", false, true}, // names are not trimmed
		{"person", "name", false, true},
		{"bad", "x", true, true},
		{"worse", "x", true, true},
	} {
		shown := filter.Shown(white, black, "shop", c.table)
		if (shown == nil) != c.all {
			t.Errorf("%s: all columns pass: %v", c.table, shown == nil)
			continue
		}
		if shown != nil && shown(c.column) != c.want {
			t.Errorf("%s.%s: %v, want %v", c.table, c.column, !c.want, c.want)
		}
	}
}
