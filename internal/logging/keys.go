package logging

// Keys of log fields. One meaning has one key, in all packages.
const (
	Destination = "destination"
	ClientID    = "client_id"
	Position    = "position"
	BatchID     = "batch_id"
	Source      = "source"
	Addr        = "addr"
	File        = "file"
	Keys        = "keys"
	Reason      = "reason"
	Version     = "version"
	Home        = "home"
)
