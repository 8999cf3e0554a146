import com.alibaba.fastjson2.JSONArray;
import com.alibaba.fastjson2.JSONObject;
import com.alibaba.otter.canal.client.CanalConnector;
import com.alibaba.otter.canal.client.CanalConnectors;
import com.alibaba.otter.canal.client.impl.SimpleCanalConnector;
import com.alibaba.otter.canal.protocol.CanalEntry;
import com.alibaba.otter.canal.protocol.Message;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Drives the unmodified Java client from another process: one command a line on stdin, one JSON object a line on
 * stdout. What the client itself prints goes to stderr.
 *
 * <pre>
 * connect HOST PORT DESTINATION [USER PASSWORD]
 * cluster ZOOKEEPERS DESTINATION      connect to whoever runs the destination
 * subscribe [FILTER]
 * get SIZE [TIMEOUT_MILLIS]      without an ack; without a timeout it answers at once
 * ack ID
 * rollback [ID]
 * unsubscribe
 * disconnect
 * </pre>
 *
 * An answer holds batchId and entries after a get, and error when the client threw.
 */
public class CanalDrive {
    /** Longer than any get of the tests waits, shorter than a test's own patience. */
    private static final int SOCKET_TIMEOUT_MILLIS = 60_000;
    private static final int IDLE_TIMEOUT_MILLIS = 60 * 60 * 1000;

    private CanalConnector connector;

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, "UTF-8");
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        CanalDrive drive = new CanalDrive();
        for (String line; (line = commands.readLine()) != null; ) {
            JSONObject answer = new JSONObject();
            try {
                drive.run(line, answer);
            } catch (Throwable thrown) {
                answer.put("error", describe(thrown));
            }
            answers.println(answer.toJSONString());
            answers.flush();
        }
        // The client keeps threads of its own.
        System.exit(0);
    }

    private void run(String line, JSONObject answer) throws Exception {
        String[] words = line.trim().split("\\s+");
        switch (words[0]) {
            case "connect":
                connector = new SimpleCanalConnector(new InetSocketAddress(words[1], Integer.parseInt(words[2])),
                    words.length > 4 ? words[4] : "", words.length > 5 ? words[5] : "", words[3],
                    SOCKET_TIMEOUT_MILLIS, IDLE_TIMEOUT_MILLIS);
                connector.connect();
                break;
            case "cluster":
                connector = CanalConnectors.newClusterConnector(words[1], words[2], "", "");
                connector.connect();
                break;
            case "subscribe":
                connector.subscribe(line.trim().substring("subscribe".length()).trim());
                break;
            case "get": {
                int size = Integer.parseInt(words[1]);
                Message message = words.length > 2
                    ? connector.getWithoutAck(size, Long.parseLong(words[2]), TimeUnit.MILLISECONDS)
                    : connector.getWithoutAck(size);
                answer.put("batchId", message.getId());
                JSONArray entries = new JSONArray();
                for (CanalEntry.Entry entry : message.getEntries()) {
                    entries.add(entry(entry));
                }
                answer.put("entries", entries);
                break;
            }
            case "ack":
                connector.ack(Long.parseLong(words[1]));
                break;
            case "rollback":
                if (words.length > 1) {
                    connector.rollback(Long.parseLong(words[1]));
                } else {
                    connector.rollback();
                }
                break;
            case "unsubscribe":
                connector.unsubscribe();
                break;
            case "disconnect":
                connector.disconnect();
                break;
            default:
                throw new IllegalArgumentException("unknown command: " + line);
        }
    }

    private static JSONObject entry(CanalEntry.Entry entry) throws Exception {
        CanalEntry.Header header = entry.getHeader();
        JSONObject out = new JSONObject();
        out.put("entryType", entry.getEntryType().name());
        out.put("eventType", header.getEventType().name());
        out.put("schema", header.getSchemaName());
        out.put("table", header.getTableName());
        out.put("file", header.getLogfileName());
        out.put("offset", header.getLogfileOffset());
        out.put("eventLength", header.getEventLength());
        out.put("executeTime", header.getExecuteTime());
        out.put("serverId", header.getServerId());
        out.put("charset", header.getServerenCode());
        out.put("gtid", header.getGtid());
        out.put("props", props(header.getPropsList()));
        switch (entry.getEntryType()) {
            case TRANSACTIONBEGIN:
                out.put("threadId", CanalEntry.TransactionBegin.parseFrom(entry.getStoreValue()).getThreadId());
                break;
            case TRANSACTIONEND:
                out.put("transactionId",
                    CanalEntry.TransactionEnd.parseFrom(entry.getStoreValue()).getTransactionId());
                break;
            case ROWDATA: {
                CanalEntry.RowChange change = CanalEntry.RowChange.parseFrom(entry.getStoreValue());
                out.put("rowEventType", change.getEventType().name());
                out.put("tableId", change.getTableId());
                out.put("isDdl", change.getIsDdl());
                out.put("sql", change.getSql());
                out.put("ddlSchema", change.getDdlSchemaName());
                JSONArray rows = new JSONArray();
                for (CanalEntry.RowData data : change.getRowDatasList()) {
                    JSONObject row = new JSONObject();
                    row.put("before", columns(data.getBeforeColumnsList()));
                    row.put("after", columns(data.getAfterColumnsList()));
                    rows.add(row);
                }
                out.put("rows", rows);
                break;
            }
            default:
                break;
        }
        return out;
    }

    private static JSONArray columns(List<CanalEntry.Column> columns) {
        JSONArray out = new JSONArray();
        for (CanalEntry.Column column : columns) {
            JSONObject one = new JSONObject();
            one.put("index", column.getIndex());
            one.put("name", column.getName());
            one.put("value", column.getValue());
            one.put("isNull", column.getIsNull());
            one.put("isKey", column.getIsKey());
            one.put("updated", column.getUpdated());
            one.put("sqlType", column.getSqlType());
            one.put("mysqlType", column.getMysqlType());
            one.put("length", column.getLength());
            one.put("props", props(column.getPropsList()));
            out.add(one);
        }
        return out;
    }

    private static JSONObject props(List<CanalEntry.Pair> pairs) {
        JSONObject out = new JSONObject();
        for (CanalEntry.Pair pair : pairs) {
            out.put(pair.getKey(), pair.getValue());
        }
        return out;
    }

    /** The client wraps what happened; the cause is what a test wants to see. */
    private static String describe(Throwable thrown) {
        StringBuilder text = new StringBuilder(thrown.toString());
        for (Throwable cause = thrown.getCause(); cause != null; cause = cause.getCause()) {
            text.append(": ").append(cause);
        }
        return text.toString();
    }
}
