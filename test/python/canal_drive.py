"""Drives the unmodified Python client from another process.

One command a line on stdin, one JSON object a line on stdout, as CanalDrive.java
has them. What the client itself prints goes to stderr. This client knows no
unsubscribe, and its subscribe takes the destination that connect was given.
"""

import json
import sys

from canal.client import Client
from canal.protocol import EntryProtocol_pb2 as pb

# The client sends the unit as the ordinal of Java's TimeUnit.
MILLISECONDS = 2
CLIENT_ID = b"1001"


def props(pairs):
    return {pair.key: pair.value for pair in pairs}


def columns(all_columns):
    return [
        {
            "index": column.index,
            "name": column.name,
            "value": column.value,
            "isNull": column.isNull,
            "isKey": column.isKey,
            "updated": column.updated,
            "sqlType": column.sqlType,
            "mysqlType": column.mysqlType,
            "length": column.length,
            "props": props(column.props),
        }
        for column in all_columns
    ]


def describe(entry):
    header = entry.header
    out = {
        "entryType": pb.EntryType.Name(entry.entryType),
        "eventType": pb.EventType.Name(header.eventType),
        "schema": header.schemaName,
        "table": header.tableName,
        "file": header.logfileName,
        "offset": header.logfileOffset,
        "eventLength": header.eventLength,
        "executeTime": header.executeTime,
        "serverId": header.serverId,
        "charset": header.serverenCode,
        "gtid": header.gtid,
        "props": props(header.props),
    }
    if entry.entryType == pb.TRANSACTIONBEGIN:
        begin = pb.TransactionBegin()
        begin.ParseFromString(entry.storeValue)
        out["threadId"] = begin.threadId
    elif entry.entryType == pb.TRANSACTIONEND:
        end = pb.TransactionEnd()
        end.ParseFromString(entry.storeValue)
        out["transactionId"] = end.transactionId
    elif entry.entryType == pb.ROWDATA:
        change = pb.RowChange()
        change.ParseFromString(entry.storeValue)
        out["rowEventType"] = pb.EventType.Name(change.eventType)
        out["tableId"] = change.tableId
        out["isDdl"] = change.isDdl
        out["sql"] = change.sql
        out["ddlSchema"] = change.ddlSchemaName
        out["rows"] = [
            {"before": columns(row.beforeColumns), "after": columns(row.afterColumns)}
            for row in change.rowDatas
        ]
    return out


class Drive:
    def __init__(self):
        self.client = Client()
        self.destination = b""

    def run(self, line):
        words = line.split()
        command, arguments = words[0], words[1:]
        if command == "connect":
            host, port, destination = arguments[:3]
            user, password = (arguments[3:] + ["", ""])[:2]
            self.destination = destination.encode()
            self.client = Client()
            self.client.connect(host=host, port=int(port))
            self.client.check_valid(username=user.encode(), password=password.encode())
        elif command == "subscribe":
            self.client.subscribe(
                client_id=CLIENT_ID,
                destination=self.destination,
                filter=line[len("subscribe"):].strip().encode(),
            )
        elif command == "get":
            if len(arguments) > 1:
                message = self.client.get_without_ack(int(arguments[0]), int(arguments[1]), MILLISECONDS)
            else:
                message = self.client.get_without_ack(int(arguments[0]))
            return {"batchId": message["id"], "entries": [describe(entry) for entry in message["entries"]]}
        elif command == "ack":
            self.client.ack(int(arguments[0]))
        elif command == "rollback":
            self.client.rollback(int(arguments[0]) if arguments else 0)
        elif command == "unsubscribe":
            self.client.unsubscribe()
        elif command == "disconnect":
            self.client.disconnect()
        else:
            raise ValueError("unknown command: " + line)
        return {}


def main():
    answers, sys.stdout = sys.stdout, sys.stderr
    drive = Drive()
    for line in sys.stdin:
        try:
            answer = drive.run(line.strip())
        except Exception as error:  # whatever the client throws is the answer
            answer = {"error": "%s: %s" % (type(error).__name__, error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
