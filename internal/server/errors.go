package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/store"
)

// The error codes of the protocol. Clients only ask whether a code is above zero.
const (
	codeFailed     int32 = 400
	codeNoIdentity int32 = 401
	codeNoBatchID  int32 = 402
)

// The Java classes that clients' users and their log alerts know from error texts.
const (
	classServer        = "com.alibaba.otter.canal.server.exception.CanalServerException"
	classMeta          = "com.alibaba.otter.canal.meta.exception.CanalMetaManagerException"
	classNumber        = "java.lang.NumberFormatException"
	classInvalidPacket = "com.google.protobuf.InvalidProtocolBufferException"
)

// failure is an error answer; code 0 is success.
type failure struct {
	code int32
	text string
}

// operation is the request an error came from, as far as its text needs it.
type operation struct {
	what    string // beginning of the text for requests that name a batch
	id      identity
	batchID int64
}

// mappings is what a client is told about each outcome of a session. The first
// row that matches counts; what matches none is shown with its own text.
var mappings = []struct {
	is    func(error) bool
	class string
	text  func(op operation, err error) string
}{
	{
		// A context that ended, although the connection's has not, is the instance's.
		is: func(err error) bool {
			return errors.Is(err, ErrNotRunning) || errors.Is(err, store.ErrClosed) || errors.Is(err, context.Canceled)
		},
		class: classServer,
		text: func(op operation, _ error) string {
			return fmt.Sprintf("destination:%s should start first", op.id.destination)
		},
	},
	{
		is:    func(err error) bool { return errors.Is(err, meta.ErrNotSubscribed) },
		class: classServer,
		text: func(op operation, _ error) string {
			// The filter is always shown as missing, as in Java's ClientIdentity.
			return fmt.Sprintf("ClientIdentity:ClientIdentity[destination=%s,clientId=%d,filter=<null>] should subscribe first",
				op.id.destination, op.id.client)
		},
	},
	{
		is:    func(err error) bool { return errors.Is(err, store.ErrUnknownBatch) },
		class: classServer,
		text: func(op operation, _ error) string {
			return fmt.Sprintf("%s, clientId:%d batchId:%d is not exist , please check", op.what, op.id.client, op.batchID)
		},
	},
	{
		is: func(err error) bool {
			var first *store.NotFirstError
			return errors.As(err, &first)
		},
		class: classMeta,
		text: func(_ operation, err error) string {
			var first *store.NotFirstError
			errors.As(err, &first)
			return fmt.Sprintf("batchId:%d is not the firstly:%d", first.ID, first.First)
		},
	},
}

// failed turns a session's error into the answer.
func (c *conn) failed(op operation, err error) failure {
	for _, m := range mappings {
		if m.is(err) {
			return c.exception(m.class, m.text(op, err))
		}
	}
	return c.exception(classServer, err.Error())
}

// exception is the answer for an exception of the Java server, on one line and
// without a stack trace.
func (c *conn) exception(class, message string) failure {
	text := "something goes wrong with channel: " + c.channel() + ", exception: " + class + ": "
	return failure{codeFailed, text + oneLine(message, max(0, c.s.cfg.ErrorTextBytes-len(text)-1)) + "\n"}
}

func unsupported(t packet.Type) failure {
	return failure{codeFailed, "packet type: " + t.String() + " is NOT supported!"}
}

func noIdentity(name, dump string) failure {
	return failure{codeNoIdentity, "destination or clientId is null. " + name + ": " + dump}
}

// oneLine replaces control characters, so that names and messages from outside
// cannot forge lines in a client's log, and cuts at limit bytes.
func oneLine(s string, limit int) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, cut(s, limit))
}

// cut makes s valid UTF-8 of at most limit bytes.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
			if utf8.RuneStart(s[len(s)-i]) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(s, "?")
}

// identity is whom a request is about. It belongs to the request, not to the connection.
type identity struct {
	destination string
	client      meta.ClientID
}

// parseClientID reads a client id as Java's Short.valueOf does. The message is
// that of its NumberFormatException.
func parseClientID(s string) (id meta.ClientID, message string) {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, `For input string: "` + s + `"`
	}
	n, err := strconv.ParseInt(s, 10, 32)
	switch {
	case err != nil:
		return 0, `For input string: "` + s + `"`
	case n < -1<<15 || n > 1<<15-1:
		return 0, `Value out of range. Value:"` + s + `" Radix:10`
	default:
		return meta.ClientID(n), ""
	}
}
