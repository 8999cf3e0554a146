package client_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
)

// A consumer of a cluster, which goes on with whichever server runs the destination.
func ExampleCluster_Consume() {
	run := func(ctx context.Context) error {
		cluster, err := client.NewCluster(client.ClusterOptions{
			ZooKeeper: "zk1:2181,zk2:2181,zk3:2181", Filter: `shop\..*`, Options: client.Options{Destination: "example"},
		})
		if err != nil {
			return err
		}
		defer cluster.Close()
		return cluster.Consume(ctx, 1000, time.Second, func(_ context.Context, m *client.Message) error {
			changes, err := m.Changes()
			if err != nil {
				return err
			}
			for _, c := range changes {
				for _, r := range c.Rows {
					id, err := r.After.Int("id")
					fmt.Println(c.Table, c.Kind, id, err)
				}
			}
			return nil // acknowledged; an error hands the batch out again
		})
	}
	_ = run
}

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
