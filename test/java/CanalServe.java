import com.alibaba.otter.canal.common.zookeeper.ZkClientx;
import com.alibaba.otter.canal.common.zookeeper.ZookeeperPathUtils;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningData;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningListener;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitor;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitors;
import com.alibaba.otter.canal.instance.manager.CanalInstanceWithManager;
import com.alibaba.otter.canal.instance.manager.model.Canal;
import com.alibaba.otter.canal.instance.manager.model.CanalParameter;
import com.alibaba.otter.canal.server.embedded.CanalServerWithEmbedded;
import com.alibaba.otter.canal.server.netty.CanalServerWithNetty;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Collections;

/**
 * A whole, unmodified Java server of one destination in a cluster, with its cursors in ZooKeeper. One command a line on
 * stdin, one JSON object a line on stdout, which holds active, or error when the code threw.
 *
 * <pre>
 * serve ZOOKEEPERS DESTINATION ADDRESS SOURCE USER PASSWORD SLAVE FILTER
 * look
 * leave
 * </pre>
 */
public class CanalServe {
    private final CanalServerWithEmbedded server = CanalServerWithEmbedded.instance();
    private ServerRunningMonitor monitor;
    private String destination = "";

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, "UTF-8");
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        CanalServe serve = new CanalServe();
        for (String line; (line = commands.readLine()) != null; ) {
            String answer;
            try {
                serve.run(line.trim().split("\\s+"));
                answer = "{\"active\":" + serve.server.isStart(serve.destination) + "}";
            } catch (Throwable thrown) {
                answer = "{\"error\":\"" + thrown.toString().replaceAll("[^A-Za-z0-9 .:_-]", " ") + "\"}";
            }
            answers.println(answer);
            answers.flush();
        }
        System.exit(0);
    }

    private void run(String[] words) {
        switch (words[0]) {
            case "serve":
                serve(words);
                break;
            case "look":
                break;
            case "leave": // as the end of a server does: first what runs, then the membership
                monitor.stop();
                break;
            default:
                throw new IllegalArgumentException("unknown command: " + words[0]);
        }
    }

    private static InetSocketAddress address(String text) {
        int colon = text.lastIndexOf(':');
        return new InetSocketAddress(text.substring(0, colon), Integer.parseInt(text.substring(colon + 1)));
    }

    private void serve(String[] words) {
        String zookeepers = words[1];
        destination = words[2];
        CanalParameter parameter = new CanalParameter();
        parameter.setZkClusters(Collections.singletonList(zookeepers));
        parameter.setMetaMode(CanalParameter.MetaMode.MIXED);
        parameter.setIndexMode(CanalParameter.IndexMode.MEMORY_META_FAILBACK);
        parameter.setStorageMode(CanalParameter.StorageMode.MEMORY);
        parameter.setMemoryStorageBufferSize(16384);
        parameter.setSourcingType(CanalParameter.SourcingType.MYSQL);
        parameter.setHaMode(CanalParameter.HAMode.HEARTBEAT);
        parameter.setDbAddresses(Collections.singletonList(address(words[4])));
        parameter.setDbUsername(words[5]);
        parameter.setDbPassword(words[6]);
        parameter.setSlaveId(Long.parseLong(words[7]));
        parameter.setConnectionCharset("UTF-8");
        parameter.setDefaultDatabaseName("");
        parameter.setTsdbEnable(false);
        parameter.setParallel(true);
        Canal canal = new Canal();
        canal.setId(1L);
        canal.setName(destination);
        canal.setCanalParameter(parameter);
        server.setCanalInstanceGenerator(name -> new CanalInstanceWithManager(canal, words[8]));
        server.start();
        InetSocketAddress own = address(words[3]);
        CanalServerWithNetty netty = CanalServerWithNetty.instance();
        netty.setIp(own.getHostString());
        netty.setPort(own.getPort());
        netty.start();

        ZkClientx zk = ZkClientx.getZkClient(zookeepers);
        String member = ZookeeperPathUtils.getDestinationClusterNode(destination, words[3]);
        ServerRunningData data = new ServerRunningData(words[3]);
        monitor = new ServerRunningMonitor(data);
        monitor.setDestination(destination);
        monitor.setZkClient(zk);
        monitor.setListener(new ServerRunningListener() {
            public void processStart() {
                zk.createPersistent(ZookeeperPathUtils.getDestinationClusterRoot(destination), true);
                zk.createEphemeral(member);
            }

            public void processStop() {
                zk.delete(member);
            }

            public void processActiveEnter() {
                server.start(destination);
            }

            public void processActiveExit() {
                server.stop(destination);
            }
        });
        ServerRunningMonitors.setServerData(data);
        ServerRunningMonitors.setRunningMonitors(Collections.singletonMap(destination, monitor));
        monitor.init();
        monitor.start();
    }
}
