import com.alibaba.fastjson2.JSONObject;
import com.alibaba.otter.canal.common.zookeeper.ZkClientx;
import com.alibaba.otter.canal.common.zookeeper.ZookeeperPathUtils;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningData;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningListener;
import com.alibaba.otter.canal.common.zookeeper.running.ServerRunningMonitor;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * Lets the unmodified election of a Java server take part in a cluster: what it would start and stop is a flag. One
 * command a line on stdin, one JSON object a line on stdout, which holds active, or error when the code threw.
 *
 * <pre>
 * join ZOOKEEPERS DESTINATION ADDRESS
 * look
 * leave
 * </pre>
 */
public class CanalElect {
    private volatile boolean active;
    private ServerRunningMonitor monitor;

    public static void main(String[] args) throws Exception {
        PrintStream answers = new PrintStream(System.out, false, "UTF-8");
        System.setOut(System.err);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        CanalElect elect = new CanalElect();
        for (String line; (line = commands.readLine()) != null; ) {
            JSONObject answer = new JSONObject();
            try {
                elect.run(line.trim().split("\\s+"));
                answer.put("active", elect.active);
            } catch (Throwable thrown) {
                answer.put("error", thrown.toString());
            }
            answers.println(answer.toJSONString());
            answers.flush();
        }
        System.exit(0);
    }

    private void run(String[] words) {
        switch (words[0]) {
            case "join":
                join(ZkClientx.getZkClient(words[1]), words[2], words[3]);
                break;
            case "look":
                break;
            case "leave":
                monitor.stop();
                break;
            default:
                throw new IllegalArgumentException("unknown command: " + words[0]);
        }
    }

    private void join(ZkClientx zk, String destination, String address) {
        String member = ZookeeperPathUtils.getDestinationClusterNode(destination, address);
        monitor = new ServerRunningMonitor(new ServerRunningData(address));
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
                active = true;
            }

            public void processActiveExit() {
                active = false;
            }
        });
        monitor.init();
        monitor.start();
    }
}
