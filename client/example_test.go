package client_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
)

// A consumer that prints the tables that change, until its context ends.
func Example() {
	consume := func(ctx context.Context) error {
		conn, err := client.Dial(ctx, client.Options{Addr: "127.0.0.1:11111", Destination: "example"})
		if err != nil {
			return err
		}
		defer conn.Close()
		// What an earlier run did not acknowledge comes again.
		if err := conn.Rollback(ctx, 0); err != nil {
			return err
		}
		if err := conn.Subscribe(ctx, `shop\..*`); err != nil {
			return err
		}
		for {
			batch, err := conn.GetWithoutAck(ctx, 1000, time.Second)
			if err != nil {
				return err
			}
			entries, err := batch.Decode()
			if err != nil {
				return err
			}
			for _, e := range entries {
				if e.GetEntryType() != canalpb.EntryType_ROWDATA {
					continue
				}
				var change canalpb.RowChange
				if err := proto.Unmarshal(e.GetStoreValue(), &change); err != nil {
					return err
				}
				fmt.Println(e.GetHeader().GetTableName(), change.GetEventType(), len(change.GetRowDatas()))
			}
			if err := conn.Ack(ctx, batch.ID); err != nil {
				return err
			}
		}
	}
	_ = consume
}
