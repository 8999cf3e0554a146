package meta_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

// brimful is a disk that is full at times.
type brimful struct {
	meta.Memory
	err error
}

func (f *brimful) Save(context.Context, meta.State) error { return f.err }

func TestHistory(t *testing.T) {
	core, logged := observer.New(zap.InfoLevel)
	disk := &brimful{}
	k := meta.WithHistory(disk, zap.New(core))
	at := func(offset uint64) *position.Cursor {
		return &position.Cursor{Host: "db", Port: 3306, Position: position.Position{File: "mysql-bin.000001", Offset: offset, Timestamp: 5000, ServerID: 3}}
	}
	full := errors.New("full")
	for _, step := range []struct {
		err     error
		clients []meta.Client
		want    []string
	}{
		{nil, []meta.Client{{ID: 1001, Cursor: at(4)}, {ID: 1002}}, []string{"clientId:1001 cursor:[mysql-bin.000001,4,5000,3,] address[db:3306]"}},
		{nil, []meta.Client{{ID: 1001, Cursor: at(4)}}, nil},
		{full, []meta.Client{{ID: 1001, Cursor: at(9)}}, nil},
		{nil, []meta.Client{{ID: 1001, Cursor: at(9)}}, []string{"clientId:1001 cursor:[mysql-bin.000001,9,5000,3,] address[db:3306]"}},
	} {
		disk.err = step.err
		if err := k.Save(t.Context(), meta.State{Clients: step.clients}); !errors.Is(err, step.err) {
			t.Errorf("error %v", err)
		}
		var got []string
		for _, e := range logged.TakeAll() {
			got = append(got, e.Message)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("lines %q, want %q", got, step.want)
		}
	}
}
