package render_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/canald/canald/internal/render"
)

func TestUTF8IllFormed(t *testing.T) {
	cases := []struct {
		raw  string
		want int // replacement characters
	}{
		{"\xe6\x96", 1},
		{"\xf0\x9f\x98", 1},
		{"\xc0\x80", 2},
		{"\xff\xfe", 2},
		{"\xf0\x80\x80\x80", 4},
		{"\xf4\x90\x80\x80", 4},
		{"\xed\xa0\x80", 1},
		{"\xed\xa0", 1},
		{"\xed\xbf", 1},
		{"\xed\xbf\xbf", 1},
	}
	for _, c := range cases {
		want := "a" + strings.Repeat("\uFFFD", c.want) + "b"
		if got := string(render.UTF8(nil, []byte("a"+c.raw+"b"))); got != want {
			t.Errorf("% x = %q, want %q", c.raw, got, want)
		}
	}
	if got := string(render.UTF8([]byte("> "), []byte("héllo 中文 🌍"))); got != "> héllo 中文 🌍" {
		t.Errorf("valid text changed: %q", got)
	}
}

// The file was written by Java's UTF-8 decoder over random bytes.
func TestUTF8AgainstJava(t *testing.T) { forLines(t, "testdata/java_utf8.txt", checkJavaUTF8) }

func checkJavaUTF8(t *testing.T, fields []string) {
	t.Helper()
	raw, err := hex.DecodeString(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(render.UTF8(nil, raw)); got != fields[1] {
		t.Errorf("%s = %s, Java says %s", fields[0], got, fields[1])
	}
}

// illFormedPrefixes holds every proper beginning of an encoded code point,
// surrogates too, and the whole surrogates.
var illFormedPrefixes = sync.OnceValue(func() map[string]bool {
	set := map[string]bool{}
	for r := rune(0x80); r <= utf8.MaxRune; r++ {
		var enc []byte
		if r >= 0xd800 && r < 0xe000 {
			enc = []byte{0xe0 | byte(r>>12), 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f}
			set[string(enc)] = true
		} else {
			enc = utf8.AppendRune(nil, r)
		}
		for n := 1; n < len(enc); n++ {
			set[string(enc[:n])] = true
		}
	}
	return set
})

func slowUTF8(raw string) string {
	var b strings.Builder
	for raw != "" {
		if r, n := utf8.DecodeRuneInString(raw); r != utf8.RuneError || n == 3 {
			b.WriteString(raw[:n])
			raw = raw[n:]
			continue
		}
		n := 1
		for k := 2; k <= min(3, len(raw)); k++ {
			if illFormedPrefixes()[raw[:k]] {
				n = k
			}
		}
		b.WriteString("\uFFFD")
		raw = raw[n:]
	}
	return b.String()
}

func FuzzUTF8(f *testing.F) {
	for _, s := range []string{"", "plain", "\xe6\x96x", "\xed\xa0\x80", "\xf0\x9f\x98", "\uFFFD", "\xf4\x8f\xbf\xbf"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := render.UTF8(nil, raw)
		if want := slowUTF8(string(raw)); string(got) != want {
			t.Errorf("% x = %q, want %q", raw, got, want)
		}
		latin := render.Latin1(nil, raw)
		var back []byte
		for _, r := range string(latin) {
			back = append(back, byte(r))
		}
		if !bytes.Equal(back, raw) || !utf8.Valid(latin) || len(latin) != render.Latin1Len(raw) {
			t.Errorf("latin1 of % x = % x (%d)", raw, latin, render.Latin1Len(raw))
		}
	})
}

func TestLatin1(t *testing.T) {
	raw := make([]byte, 256)
	var want []rune
	for i := range raw {
		raw[i] = byte(i)
		want = append(want, rune(i))
	}
	if got := string(render.Latin1(nil, raw)); got != string(want) {
		t.Errorf("got %q", got)
	}
	if n := render.Latin1Len(raw); n != 384 {
		t.Errorf("length %d, want 384", n)
	}
}

func TestCharset(t *testing.T) {
	cases := []struct{ name, official, raw, want string }{
		{"UTF-8", "UTF-8", "中\xff", "中\uFFFD"},
		{"utf8", "UTF-8", "é", "é"},
		{"UTF8MB4", "UTF-8", "🌍", "🌍"},
		{"", "UTF-8", "é", "é"},
		{"ISO-8859-1", "ISO-8859-1", "\xe9\x80", "é\u0080"},
		{"latin1", "ISO-8859-1", "\xe9", "é"},
		{"ISO8859_1", "ISO-8859-1", "\xe9", "é"},
		{"US-ASCII", "US-ASCII", "a\xe9", "a\uFFFD"},
		{"ISO8859-15", "ISO-8859-15", "\xa4", "€"},
		{"windows-1252", "windows-1252", "\x80", "€"},
		{"Cp1251", "windows-1251", "\xcf\xf0", "Пр"},
		{"GBK", "GBK", "\xd6\xd0\xce\xc4", "中文"},
		{"gb2312", "GBK", "\xd6\xd0", "中"},
		{"GB18030", "GB18030", "\xd6\xd0\x94\x39\xda\x33", "中💩"},
		{"Big5", "Big5", "\xa4\xa4\xa4\xe5", "中文"},
		{"Shift_JIS", "Shift_JIS", "\x93\xfa\x96\x7b", "日本"},
		{"EUC-JP", "EUC-JP", "\xc6\xfc\xcb\xdc", "日本"},
		{"EUC_KR", "EUC-KR", "\xc7\xd1", "한"},
		{"KOI8-R", "KOI8-R", "\xf0", "П"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cs, err := render.LookupCharset(c.name)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(cs.Append([]byte("x"), []byte(c.raw))); got != "x"+c.want {
				t.Errorf("got %q, want %q", got, "x"+c.want)
			}
			if cs.String() != c.official {
				t.Errorf("official name %s, want %s", cs, c.official)
			}
			long := strings.Repeat(c.raw, 1000)
			if got, want := string(cs.Append(nil, []byte(long))), strings.Repeat(c.want, 1000); got != want {
				t.Error("a long text differs")
			}
		})
	}
	_, err := render.LookupCharset("klingon-8")
	if !errors.Is(err, render.ErrUnknownCharset) || !strings.Contains(err.Error(), "klingon-8") {
		t.Errorf("unknown name: %v", err)
	}
	var none *render.Charset
	if got := string(none.Append(nil, []byte("é"))); got != "é" || none.String() != "UTF-8" {
		t.Errorf("nil charset: %q", got)
	}
}

func TestCharsetShared(t *testing.T) {
	cs, err := render.LookupCharset("GBK")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if got := string(cs.Append(nil, []byte("\xd6\xd0\xce\xc4"))); got != "中文" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzCharset(f *testing.F) {
	names := []string{"GBK", "Big5", "Shift_JIS", "EUC-KR", "GB18030", "EUC-JP", "KOI8-R", "US-ASCII", "UTF-16"}
	f.Add(uint8(0), []byte("\xd6\xd0\xff"))
	f.Add(uint8(8), []byte("\xd8\x00a"))
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		cs, err := render.LookupCharset(names[int(which)%len(names)])
		if err != nil {
			t.Fatal(err)
		}
		if got := cs.Append(nil, raw); !utf8.Valid(got) || len(got) > 3*len(raw)+3 {
			t.Errorf("%s % x = %q", cs, raw, got)
		}
	})
}
