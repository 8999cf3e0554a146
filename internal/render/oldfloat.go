package render

import (
	"cmp"
	"math"
	mathbig "math/big"
	"math/bits"
)

// OldFloat is Float in the notation of JDK 8 to 18.
func OldFloat(dst, raw []byte) []byte {
	v := math.Float32frombits(uint32(little(raw[:min(len(raw), 4)])))
	a := math.Abs(float64(v))
	if math.Signbit(float64(v)) && a == a {
		dst = append(dst, '-')
	}
	if dst, ok := appendSpecial(dst, a); ok {
		return dst
	}
	return appendOldDigits(dst, a, min(24, bits.Len32(math.Float32bits(float32(a)))))
}

// OldDouble is Double in the notation of JDK 8 to 18.
func OldDouble(dst, raw []byte) []byte {
	return appendOldDouble(dst, math.Float64frombits(little(raw)))
}

func appendOldDouble(dst []byte, v float64) []byte {
	a := math.Abs(v)
	if math.Signbit(v) && a == a {
		dst = append(dst, '-')
	}
	if dst, ok := appendSpecial(dst, a); ok {
		return dst
	}
	return appendOldDigits(dst, a, min(53, bits.Len64(math.Float64bits(a))))
}

const fractionBits = 52 // of a double

// appendOldDigits writes a, which is finite and above zero and has so many
// significant bits (fewer than its type's for a subnormal one). Old JDKs generate
// digits until what is left is below half the distance to the next number. They
// take that distance for the same on both sides, ask for two digits where an
// exponent is written, estimate the first digit's place, and treat whole numbers
// below 2^63 in a way of their own; so the digits are mostly the shortest, and
// sometimes one more than that or not the nearest.
func appendOldDigits(dst []byte, a float64, significant int) []byte {
	fraction, exp := math.Frexp(a)
	exp-- // of the highest bit
	mantissa := uint64(math.Ldexp(fraction, fractionBits+1))
	low := bits.TrailingZeros64(mantissa)
	used := fractionBits + 1 - low
	behind := max(0, used-exp-1) // bits behind the point
	if behind == 0 && exp <= 62 {
		whole := mantissa
		if exp >= fractionBits {
			whole <<= exp - fractionBits
		} else {
			whole >>= fractionBits - exp
		}
		return appendOldWhole(dst, whole, exp-significant-1)
	}
	d := oldDigits{exp: oldExponent(mantissa, exp)}
	d.generate(mantissa>>low, used, exp, behind, significant)
	return d.append(dst)
}

// appendOldWhole writes a whole number of which digits that only the last `rough`
// bits decide are rounded away.
func appendOldWhole(dst []byte, v uint64, rough int) []byte {
	dropped := 0
	if rough > 1 {
		dropped = int(float64(rough) * math.Log10(2))
		power := uint64(1)
		for range dropped {
			power *= 10
		}
		half := v%power >= power/2
		if v /= power; half && dropped > 0 {
			v++
		}
	}
	var d oldDigits
	text := appendUint(nil, v)
	d.exp = len(text) + dropped - 1
	for len(text) > 1 && text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	d.n = copy(d.digits[:], text)
	return d.append(dst)
}

// oldExponent estimates the place of the first decimal digit; it may be one too high.
func oldExponent(mantissa uint64, exp int) int {
	m := math.Float64frombits(mantissa&(1<<fractionBits-1) | 1023<<fractionBits)
	return int(math.Floor((m-1.5)*0.289529654 + 0.176091259 + float64(exp)*0.301029995663981))
}

// oldDigits are d.ddd times ten to the power of exp.
type oldDigits struct {
	digits [32]byte
	n, exp int
}

// bitsOfFive is how many bits the powers of five have, as Java's table says it;
// larger powers are taken to have three for each.
var bitsOfFive = func() (list [27]int) {
	power := uint64(1)
	for i := range list {
		list[i] = bits.Len64(power)
		power *= 5
	}
	list[0] = 0
	return list
}()

func fiveBits(n int) int {
	if n < len(bitsOfFive) {
		return bitsOfFive[n]
	}
	return 3 * n
}

// generate finds the digits of mantissa·2^(exp-used+1).
func (d *oldDigits) generate(mantissa uint64, used, exp, behind, significant int) {
	b5, s5 := max(0, -d.exp), max(0, d.exp)
	b2, s2 := b5+behind+exp, s5+behind
	m2 := b2 - significant
	b2 -= used - 1
	common := min(b2, s2)
	b2, s2, m2 = b2-common, s2-common, m2-common
	if used == 1 {
		m2-- // below a power of two numbers lie closer
	}
	if m2 < 0 {
		b2, s2, m2 = b2-m2, s2-m2, 0
	}
	valueBits, tensBits := used+b2+fiveBits(b5), s2+1+fiveBits(s5+1)
	switch {
	case valueBits < 32 && tensBits < 32:
		m := int32(powerOfFive(b5))
		n := &smallDigits[int32]{value: int32(mantissa) * m << b2, scale: int32(powerOfFive(s5)) << s2, margin: m << m2}
		d.run(n)
	case valueBits < 64 && tensBits < 64:
		m := powerOfFive(b5)
		n := &smallDigits[int64]{value: int64(mantissa) * m << b2, scale: powerOfFive(s5) << s2, margin: m << m2}
		d.run(n)
	default:
		d.run(newLargeDigits(shifted(new(mathbig.Int).SetUint64(mantissa), b5, b2), shifted(mathbig.NewInt(1), s5, s2), shifted(mathbig.NewInt(1), b5, m2)))
	}
}

// digitSource does the arithmetic.
type digitSource interface {
	// next gives a digit, and whether what is left is low enough to end there, and
	// high enough to end there with the digit above.
	next() (digit byte, low, high bool)
	// half compares what is left with a half.
	half() int
}

func (d *oldDigits) run(s digitSource) {
	digit, low, high := s.next()
	if digit == 0 && !high {
		d.exp-- // the estimate was too high
	} else {
		d.put(digit)
	}
	if d.exp < -3 || d.exp >= 8 {
		low, high = false, false // a second digit stands before the exponent anyway
	}
	for !low && !high && d.n < len(d.digits) {
		digit, low, high = s.next()
		d.put(digit)
	}
	if !high {
		return
	}
	if low {
		if half := s.half(); half < 0 || half == 0 && d.digits[d.n-1]&1 == 0 {
			return
		}
	}
	d.roundUp()
}

// smallDigits are numbers of 32 or 64 bits. That they overflow is part of what
// has to be repeated.
type smallDigits[T int32 | int64] struct{ value, scale, margin T }

func (n *smallDigits[T]) next() (digit byte, low, high bool) {
	digit = byte(n.value / n.scale)
	n.value = 10 * (n.value % n.scale)
	n.margin *= 10
	if n.margin <= 0 {
		return digit, true, true
	}
	return digit, n.value < n.margin, n.value+n.margin > 10*n.scale
}

func (n *smallDigits[T]) half() int { return cmp.Compare(n.value<<1-10*n.scale, 0) }

func powerOfFive(n int) int64 {
	p := int64(1)
	for range n {
		p *= 5
	}
	return p
}

// largeDigits are numbers of any size.
type largeDigits struct{ value, scale, margin, tens, quotient, sum *mathbig.Int }

func newLargeDigits(value, scale, margin *mathbig.Int) *largeDigits {
	return &largeDigits{value, scale, margin, new(mathbig.Int).Mul(scale, ten), new(mathbig.Int), new(mathbig.Int)}
}

var ten = mathbig.NewInt(10)

func (n *largeDigits) next() (digit byte, low, high bool) {
	n.quotient.QuoRem(n.value, n.scale, n.value)
	n.value.Mul(n.value, ten)
	n.margin.Mul(n.margin, ten)
	low = n.value.Cmp(n.margin) < 0
	high = n.tens.Cmp(n.sum.Add(n.value, n.margin)) <= 0 // unlike the small numbers
	return byte(n.quotient.Uint64()), low, high
}

func (n *largeDigits) half() int { return n.value.Lsh(n.value, 1).Cmp(n.tens) }

// shifted multiplies v by five and two to these powers.
func shifted(v *mathbig.Int, fives, twos int) *mathbig.Int {
	if fives > 0 {
		v.Mul(v, new(mathbig.Int).Exp(mathbig.NewInt(5), mathbig.NewInt(int64(fives)), nil))
	}
	return v.Lsh(v, uint(twos))
}

func (d *oldDigits) put(digit byte) {
	d.digits[d.n] = '0' + digit
	d.n++
}

func (d *oldDigits) roundUp() {
	i := d.n - 1
	for ; i >= 0 && d.digits[i] == '9'; i-- {
		d.digits[i] = '0'
	}
	if i < 0 {
		d.digits[0] = '1'
		d.exp++
		return
	}
	d.digits[i]++
}

func (d *oldDigits) append(dst []byte) []byte {
	return appendLaidOut(dst, d.digits[:d.n], d.exp)
}
