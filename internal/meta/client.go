// Package meta keeps what survives a fail-over: which clients are subscribed to
// a destination, and how far each of them has acknowledged.
package meta

import "errors"

// ClientID names one consumer of a destination. On the wire it is decimal text
// in the range of a signed 16-bit number; 1001 is what Canal's clients send
// unless they are told otherwise.
type ClientID int16

// ErrNotSubscribed is returned for a client id that has no subscription to the
// destination.
var ErrNotSubscribed = errors.New("should subscribe first")
