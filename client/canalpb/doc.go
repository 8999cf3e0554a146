// Package canalpb holds the generated Go form of the entries in a Canal batch.
//
// The messages have explicit presence: a getter answers the default of the
// Java clients for an absent field (ROWDATA, UPDATE, MYSQL), and a field that
// was set to its zero value is encoded.
package canalpb

// The file is named by its path in the module, so that it cannot collide with
// another entry.proto in the program that imports it.
//go:generate protoc -I../.. --go_out=../.. --go_opt=paths=source_relative client/canalpb/entry.proto
