package store_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

var update = flag.Bool("update", false, "rewrite the results in testdata")

// Each file of testdata is a story: a command, dashes, what it gives. Commands:
//
//	store [items] [isolate] [slots N] [unit N] [from N]   a new store
//	put KINDS [pad N]     entries: b begin, e end, d a query, c a DDL
//	attach ID [at N]      with its cursor at entry N
//	detach ID
//	get ID SIZE
//	ack ID BATCH
//	rollback ID BATCH     0 for all
//	reset N               the dump goes on with entry N
//	stats
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := (&teller{t: t, src: newSource(t)}).tell(string(raw))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(raw) {
				t.Errorf("got\n%s\nwant\n%s", got, raw)
			}
		})
	}
}

type teller struct {
	t   *testing.T
	src *source
	st  *store.Store
}

// tell runs the commands of a story and returns it with their results.
func (w *teller) tell(story string) string {
	w.t.Helper()
	var out []string
	for part := range strings.SplitSeq(strings.TrimSpace(story), "\n\n") {
		var notes []string
		lines := strings.Split(part, "\n")
		for len(lines) > 0 && strings.HasPrefix(lines[0], "#") {
			notes, lines = append(notes, lines[0]), lines[1:]
		}
		if len(lines) > 0 {
			notes = append(notes, lines[0], "----", w.do(strings.Fields(lines[0])))
		}
		out = append(out, strings.Join(notes, "\n"))
	}
	return strings.Join(out, "\n\n") + "\n"
}

func (w *teller) do(words []string) string {
	var id meta.ClientID
	option := func(name string) (n int) {
		for i, word := range words[:len(words)-1] {
			if word == name {
				_, _ = fmt.Sscan(words[i+1], &n)
			}
		}
		return n
	}
	number := func(i int) (n int64) {
		if _, err := fmt.Sscan(words[i], &n); err != nil {
			w.t.Fatalf("%v: %v", words, err)
		}
		return n
	}
	switch words[0] {
	case "attach", "detach", "get", "ack", "rollback":
		id = meta.ClientID(number(1))
	}
	answer := func(err error) string {
		if err != nil {
			return "error: " + err.Error()
		}
		return "ok"
	}
	has := func(word string) bool { return strings.Contains(" "+strings.Join(words, " ")+" ", " "+word+" ") }
	switch words[0] {
	case "store":
		cfg := store.Config{ItemMode: has("items"), IsolateDDL: has("isolate"), Slots: option("slots"), Unit: int64(option("unit"))}
		w.st = store.New(cfg, position.Position{}, max(1, int64(option("from"))))
		w.t.Cleanup(w.st.Close)
		return "ok"
	case "put":
		slots := w.src.make(strings.ReplaceAll(words[1], "c", "d"), option("pad"))
		for i := range slots {
			if words[1][i] == 'c' {
				slots[i].Item().Event = 5 // ALTER
			}
		}
		put(w.t, w.st, slots)
		return fmt.Sprintf("entries to %d", w.src.next)
	case "attach":
		var p *position.Position
		if n := option("at"); n > 0 {
			p = &position.Position{File: "mysql-bin.000001", Offset: uint64(n) * 100}
		}
		return answer(w.st.Attach(id, p))
	case "detach":
		w.st.Detach(id)
		return "ok"
	case "get":
		b, err := w.st.Get(w.t.Context(), id, int(number(2)), 0)
		if err != nil {
			return answer(err)
		}
		defer b.Release()
		return strings.TrimSpace(fmt.Sprintf("batch %d: %s", b.ID, strings.Trim(fmt.Sprint(numbers(w.t, b)), "[]")))
	case "ack":
		p, ok, err := w.st.Ack(id, number(2))
		if err != nil || !ok {
			return answer(err)
		}
		return fmt.Sprintf("cursor at %d", p.Offset/100)
	case "rollback":
		return answer(w.st.Rollback(id, number(2)))
	case "reset":
		w.src.next = uint64(number(1)) - 1
		w.st.Reset(position.Position{File: "mysql-bin.000001", Offset: w.src.next*100 + 100})
		return "ok"
	case "stats":
		s := w.st.Stats()
		lines := []string{fmt.Sprintf("%d of %d entries held", s.Entries, s.Put)}
		for id := range meta.ClientID(10) {
			if c, ok := s.Clients[id]; ok {
				lines = append(lines, fmt.Sprintf("client %d: %d unread, %d outstanding", id, c.Unread, c.Outstanding))
			}
		}
		return strings.Join(lines, "\n")
	}
	w.t.Fatal(errors.New("unknown command " + words[0]))
	return ""
}
