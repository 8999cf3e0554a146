package main

import (
	"go.uber.org/zap"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/store"
	"github.com/canald/canald/internal/tsdb"
)

// instanceConfig hands the settings of a destination to its parts.
func instanceConfig(in config.Instance, log *zap.Logger) instance.Config {
	var archive *tsdb.Archive
	if a := in.Archive; a.Addr != "" {
		archive = tsdb.New(tsdb.Config{
			Addr: a.Addr, Database: a.Database, User: a.User, Password: a.Password, Destination: in.Destination, Interval: a.Interval, Keep: in.HistoryKeep,
		}, log.Named("tsdb"))
	}
	return instance.Config{
		Destination: in.Destination,
		Source: binlog.Config{
			Addr:             in.Address,
			User:             in.User,
			Password:         in.Password,
			TLS:              binlog.TLSMode(in.TLS),
			ServerID:         in.ServerID,
			Database:         in.Database,
			GTID:             in.GTID,
			Archive:          archive,
			Charset:          in.Charset,
			Formats:          in.Formats,
			Images:           in.Images,
			SkipBrokenTables: in.SkipBrokenTables,
			Form: entry.Form{
				FullDecimals: in.FullDecimals,
				OldFloats:    in.OldFloats,
				MemberNames:  in.MemberNames,
				PaddedBinary: in.PaddedBinary,
				StableTypes:  in.StableTypes,
				ServerTypes:  in.ServerTypes,
				WholeJSON:    in.WholeJSON,
				ServerJSON:   in.ServerJSON,
			},
			ColumnCharsets:  in.ColumnCharsets,
			MariaBegin:      in.MariaBegin,
			AllStatements:   in.AllStatements,
			StatementNames:  in.StatementNames,
			PlainNames:      in.PlainNames,
			StatementTables: in.StatementTables,
			XAOnePhase:      in.XAOnePhase,
			LoadData:        in.LoadData,
			Simple:          in.SimpleDDL,
			SkipQueries:     in.SkipQueries,
			SkipDCL:         in.SkipDCL,
			SkipDDL:         in.SkipDDL,
			SkipRows:        in.SkipRows,
			SkipInserts:     in.SkipInserts,
			SkipUpdates:     in.SkipUpdates,
			SkipDeletes:     in.SkipDeletes,
			QueryTimeout:    in.QueryTimeout,
		},
		Start:           binlog.StartConfig{File: in.StartFile, Offset: in.StartOffset, Timestamp: in.StartTimestampMillis, GTID: in.StartGTID},
		Store:           store.Config{Slots: in.Slots, Unit: in.UnitBytes, ItemMode: in.ItemMode, IsolateDDL: in.IsolateDDL},
		Filter:          in.Filter,
		BlackFilter:     in.BlackFilter,
		Location:        in.Location,
		Fields:          filter.ParseColumns(in.Fields),
		BlackFields:     filter.ParseColumns(in.BlackFields),
		HistoryFile:     in.HistoryFile,
		HistoryKeep:     history.Keep{For: in.HistoryKeep},
		TransactionSize: in.TransactionSize,
		FilterMarkers:   in.FilterMarkers,
		ResetWhenPurged: in.ResetWhenPurged,
		Workers:         in.Workers,
		FlushPeriod:     in.FlushPeriod,
		AbsentAfter:     in.AbsentAfter,
		GeneratedID:     in.GeneratedID,
	}
}
