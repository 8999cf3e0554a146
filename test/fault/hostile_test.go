package fault

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/test/harness"
)

// hostiles is how many connections are made, a part of them at a time.
const (
	hostiles       = 2000
	hostilesAtOnce = 400
)

func TestHostileConnections(t *testing.T) {
	s := harness.Shared(t, harness.Versions()[0])
	s.Exec(t, "DROP DATABASE IF EXISTS fault_hostile", "CREATE DATABASE fault_hostile", "CREATE TABLE fault_hostile.t (seq INT PRIMARY KEY, v TEXT)")
	c := harness.StartCanald(t, s, "", map[string]string{"hostile": `canal.instance.filter.regex=fault_hostile\\..*`})
	good, err := client.Dial(t.Context(), client.Options{Addr: c.Addr, Destination: "hostile"})
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	if err := good.Subscribe(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	before, _ := c.Memory(t)

	stop := make(chan struct{})
	var wg sync.WaitGroup
	written := 0
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				written++
				s.Exec(t, fmt.Sprintf("INSERT INTO fault_hostile.t VALUES (%d, REPEAT('x', 1000))", written))
			}
		}
	})
	attacked := make(chan struct{})
	go func() {
		defer close(attacked)
		slots := make(chan struct{}, hostilesAtOnce)
		var all sync.WaitGroup
		for i := range hostiles {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				attack(c.Addr, i)
			})
		}
		all.Wait()
	}()

	got, longest := 0, time.Duration(0)
	finished := false
	for end := time.Now().Add(90 * time.Second); ; {
		if time.Now().After(end) {
			t.Fatalf("%d of %d rows came\n%s", got, written, c.Log())
		}
		select {
		case <-attacked:
			if !finished {
				finished = true
				close(stop)
				wg.Wait()
			}
		default:
		}
		if finished && got >= written {
			break
		}
		begin := time.Now()
		m, err := good.GetWithoutAck(t.Context(), 100, 100*time.Millisecond)
		if err != nil {
			t.Fatalf("%v\n%s", err, c.Log())
		}
		if m.ID != client.NoBatch {
			got = inOrder(t, m, got)
			if err := good.Ack(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
		longest = max(longest, time.Since(begin)-100*time.Millisecond)
	}
	_, peak := c.Memory(t)
	t.Logf("%d hostile connections; %d rows in order; longest stall %s; memory %d MB before, peak %d MB", hostiles, got, longest, before>>20, peak>>20)
	if longest > 2*time.Second {
		t.Errorf("the good client stalled for %s", longest)
	}
	if peak-before > 100<<20 {
		t.Errorf("memory grew by %d MB", (peak-before)>>20)
	}
}

// inOrder checks that a batch goes on with the rows behind the last one.
func inOrder(t *testing.T, m *client.Message, last int) int {
	t.Helper()
	entries, err := m.Decode()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.GetEntryType() != canalpb.EntryType_ROWDATA {
			continue
		}
		var rc canalpb.RowChange
		if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
			t.Fatal(err)
		}
		for _, r := range rc.GetRowDatas() {
			seq, _ := strconv.Atoi(r.GetAfterColumns()[0].GetValue())
			if seq != last+1 {
				t.Fatalf("row %d came after row %d", seq, last)
			}
			last = seq
		}
	}
	return last
}

// attack is one hostile connection. Its errors are the point of it.
func attack(addr string, kind int) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(1500 * time.Millisecond))
	frame := func(length uint32, body []byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, length), body...)
	}
	login := packet.AppendRequest(nil, &packet.ClientAuth{})
	get := packet.AppendRequest(nil, &packet.Get{Destination: "hostile", ClientID: "7", FetchSize: 1 << 20, Timeout: packet.Some[int64](0)})
	garbage := make([]byte, 1+rand.IntN(4000))
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	switch kind % 10 {
	case 0:
		_, _ = conn.Write(garbage)
	case 1:
		_, _ = conn.Write(frame(0xfffffff0, nil))
	case 2:
		_, _ = conn.Write(frame(0x7fffffff, garbage))
	case 3: // says nothing
	case 4: // a byte at a time
		for _, b := range login {
			_, _ = conn.Write([]byte{b})
			time.Sleep(5 * time.Millisecond)
		}
	case 5: // mutated requests behind a login
		_, _ = conn.Write(login)
		for range 20 {
			req := append([]byte(nil), get...)
			for range 1 + rand.IntN(6) {
				req[4+rand.IntN(len(req)-4)] ^= byte(1 << rand.IntN(8))
			}
			_, _ = conn.Write(req)
		}
	case 6: // bad filters
		_, _ = conn.Write(login)
		for _, f := range []string{"(", "[a-", "(a+)+$(", "\\", "x{2,1}"} {
			_, _ = conn.Write(packet.AppendRequest(nil, &packet.Sub{Destination: "hostile", ClientID: "7", Filter: f}))
		}
	case 7: // asks and never reads
		_, _ = conn.Write(login)
		unknown := packet.AppendRequest(nil, &packet.Get{Destination: "no such destination", ClientID: "7", FetchSize: 1})
		for range 500 {
			if _, err := conn.Write(unknown); err != nil {
				return
			}
		}
	case 8: // a large frame that never ends
		_, _ = conn.Write(login)
		_, _ = conn.Write(frame(60<<20, garbage))
	case 9: // a waiting get whose client goes away
		_, _ = conn.Write(login)
		_, _ = conn.Write(get)
		return
	}
	buf := make([]byte, 4096)
	for {
		if kind%10 == 7 {
			time.Sleep(time.Second)
			return
		}
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}
