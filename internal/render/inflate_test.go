package render_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/canald/canald/internal/render"
)

func deflated(t testing.TB, plain []byte, frameless bool) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = zlib.NewWriter(&b)
	if frameless {
		var err error
		if w, err = flate.NewWriter(&b, flate.DefaultCompression); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// lengthWidth is the number of bytes of a length without leading zeros.
func lengthWidth(n int) int {
	w := 1
	for ; n > 255; n >>= 8 {
		w++
	}
	return w
}

func compressedColumn(t testing.TB, plain []byte, frameless bool) []byte {
	t.Helper()
	w := lengthWidth(len(plain))
	head := byte(0x80 | w)
	if frameless {
		head |= 8
	}
	return append(append([]byte{head}, bigEndian(uint64(len(plain)), w)...), deflated(t, plain, frameless)...)
}

func compressedEvent(t testing.TB, plain []byte) []byte {
	t.Helper()
	return compressedColumn(t, plain, false) // the same but for the reserved bit
}

func TestInflate(t *testing.T) {
	for _, size := range []int{1, 100, 127, 128, 200, 255, 256, 70000, 1 << 20} {
		plain := []byte(strings.Repeat("some text. ", size/11+1)[:size])
		for _, frameless := range []bool{false, true} {
			got, err := render.Inflate([]byte("> "), compressedColumn(t, plain, frameless), size)
			if err != nil || string(got) != "> "+string(plain) {
				t.Errorf("%d bytes, frameless %v: %d bytes, %v", size, frameless, len(got), err)
			}
		}
		got, err := render.InflateEvent([]byte("> "), compressedEvent(t, plain), size)
		if err != nil || string(got) != "> "+string(plain) {
			t.Errorf("event of %d bytes: %d bytes, %v", size, len(got), err)
		}
	}
	if got, err := render.Inflate(nil, []byte("\x00plain"), 5); err != nil || string(got) != "plain" {
		t.Errorf("plain: %q, %v", got, err)
	}
	if got, err := render.Inflate([]byte("x"), nil, 5); err != nil || string(got) != "x" {
		t.Errorf("empty: %q, %v", got, err)
	}
}

func TestInflateErrors(t *testing.T) {
	good := compressedColumn(t, bytes.Repeat([]byte("abc"), 40), false)
	longer := bytes.Clone(good)
	longer[1]--
	shorter := bytes.Clone(good)
	shorter[1]++
	sum := bytes.Clone(good)
	sum[len(sum)-1] ^= 1
	cases := []struct {
		name  string
		raw   []byte
		limit int
		want  error
	}{
		{"over the limit", good, 119, render.ErrTooLarge},
		{"plain over the limit", []byte("\x00plain"), 4, render.ErrTooLarge},
		{"negative limit", good, -1, render.ErrTooLarge},
		{"longer than said", longer, 1000, render.ErrCompression},
		{"shorter than said", shorter, 1000, render.ErrCompression},
		{"wrong checksum", sum, 1000, render.ErrCompression},
		{"cut", good[:len(good)-6], 1000, render.ErrCompression},
		{"cut in the length", []byte{0x84, 0, 0}, 1000, render.ErrCompression},
		{"impossible length", append([]byte{0x84, 0x7f, 0, 0, 0}, good[2:]...), 1 << 31, render.ErrCompression},
		{"unknown method", []byte{0x91, 1, 0}, 1000, render.ErrCompression},
	}
	for _, c := range cases {
		if got, err := render.Inflate([]byte("x"), c.raw, c.limit); !errors.Is(err, c.want) || string(got) != "x" {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
	}
	for _, raw := range [][]byte{nil, {0x80}, {0x85, 0, 0, 0, 0, 1}, {0x01, 1}, {0x91, 1, 0}, {0xc1, 1, 0}} {
		if _, err := render.InflateEvent(nil, raw, 1000); !errors.Is(err, render.ErrCompression) {
			t.Errorf("event % x: %v", raw, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add(compressedColumn(f, []byte("hello hello hello"), false))
	f.Add(compressedColumn(f, []byte("hello hello hello"), true))
	f.Add([]byte{0, 'x'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		const limit = 1 << 16
		for _, inflate := range []func(dst, raw []byte, limit int) ([]byte, error){render.Inflate, render.InflateEvent} {
			got, err := inflate([]byte("x"), raw, limit)
			if len(got) > limit+1 || got[0] != 'x' || err != nil && len(got) != 1 {
				t.Errorf("% x: %d bytes, %v", raw, len(got), err)
			}
		}
		back, err := render.Inflate(nil, compressedColumn(t, append(raw, 1), len(raw)%2 == 0), len(raw)+1)
		if err != nil || !bytes.Equal(back[:len(raw)], raw) {
			t.Errorf("round trip of % x: % x, %v", raw, back, err)
		}
	})
}
