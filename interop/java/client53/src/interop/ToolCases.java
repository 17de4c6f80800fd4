package interop;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.admin.TopicOffset;
import org.apache.rocketmq.remoting.protocol.body.ClusterInfo;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.remoting.protocol.route.TopicRouteData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** Apache's mqadmin, run in this process, and its admin client. One at a time: some change what all clients see. */
final class ToolCases {
    private static final Object ONE_AT_A_TIME = new Object();

    /** What the last command printed as errors, which it may do besides. */
    static String errors = "";

    private ToolCases() {
    }

    /** A case that holds the lock and has an admin client and the one master of the cluster. */
    interface Tool {
        void run(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception;
    }

    static void register() {
        tool("topicList", ToolCases::topicList);
        tool("clusterList", ToolCases::clusterList);
        tool("topicRoute", ToolCases::topicRoute);
        tool("updateTopic", ToolCases::updateTopic);
        tool("deleteTopic", ToolCases::deleteTopic);
        tool("topicStatus", ToolCases::topicStatus);
        tool("kvConfig", ToolCases::kvConfig);
        tool("writePerm", ToolCases::writePerm);
        tool("getBrokerConfig", ToolCases::brokerConfig);
        tool("updateBrokerConfig", ToolCases::updateBrokerConfig);
        tool("brokerStatus", ToolCases::brokerStatus);
        tool("namesrvConfig", ToolCases::namesrvConfig);
        tool("updateSubGroup", ToolCases::updateSubGroup);
    }

    static void tool(String name, Tool body) {
        tool(name, 1, body);
    }

    /** As the other, in a cluster of so many brokers, any of which is given. */
    static void tool(String name, int brokers, Tool body) {
        Driver.add("tools." + name, env -> {
            synchronized (ONE_AT_A_TIME) {
                DefaultMQAdminExt admin = admin(env);
                Check.eventually("so many brokers", () -> admin.examineBrokerClusterInfo().getBrokerAddrTable().size() >= brokers);
                ClusterInfo info = admin.examineBrokerClusterInfo();
                Check.equal("brokers", brokers, info.getBrokerAddrTable().size());
                body.run(env, admin, info.getBrokerAddrTable().values().iterator().next());
            }
        });
    }

    static DefaultMQAdminExt admin(Env env) throws Exception {
        DefaultMQAdminExt admin = env.configure(new DefaultMQAdminExt(20_000));
        admin.start();
        env.closing(admin::shutdown);
        return admin;
    }

    static String master(BrokerData broker) {
        return broker.getBrokerAddrs().get(0L);
    }

    /** What the command printed, which must be something. */
    static String mqadmin(Env env, String... words) throws Exception {
        String[] args = java.util.Arrays.copyOf(words, words.length + 2);
        args[words.length] = "-n";
        args[words.length + 1] = env.param("ns");
        String text = mqadmin(args);
        Check.that(!text.isBlank(), String.join(" ", words) + " printed nothing");
        return text;
    }

    /** What the command printed, or how it failed; one at a time. */
    static String mqadmin(String[] args) {
        return mqadmin(args, null);
    }

    /** As the other, for a command that ends only when it is interrupted: which it is when it has printed that. */
    static synchronized String mqadmin(String[] args, String until) {
        PrintStream before = System.out;
        PrintStream errorsBefore = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        ByteArrayOutputStream complaints = new ByteArrayOutputStream();
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(complaints, true, StandardCharsets.UTF_8));
        Thread endless = until == null ? null : interrupting(Thread.currentThread(), printed, until);
        try {
            // Its commands can be used once: some keep a producer that they have closed.
            Field commands = MQAdminStartup.class.getDeclaredField("SUB_COMMANDS");
            commands.setAccessible(true);
            ((List<?>) commands.get(null)).clear();
            MQAdminStartup.main0(args, null);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        } finally {
            if (endless != null) {
                endless.interrupt();
                join(endless);
            }
            System.setOut(before);
            System.setErr(errorsBefore);
            errors = complaints.toString(StandardCharsets.UTF_8);
            errorsBefore.print(errors);
        }
        String text = printed.toString(StandardCharsets.UTF_8);
        if (!text.isBlank()) {
            return text;
        }
        return errors.lines().filter(line -> !line.startsWith("\tat ")).collect(Collectors.joining("\n"));
    }

    /** Interrupts the thread again and again, once the text is there or the patience over. */
    private static Thread interrupting(Thread thread, ByteArrayOutputStream printed, String until) {
        long end = System.nanoTime() + Env.PATIENCE * 1_000_000L;
        Thread interrupting = new Thread(() -> {
            try {
                while (true) {
                    Thread.sleep(300);
                    if (System.nanoTime() > end || printed.toString(StandardCharsets.UTF_8).contains(until)) {
                        thread.interrupt();
                    }
                }
            } catch (InterruptedException e) {
                // The command has ended.
            }
        });
        interrupting.start();
        return interrupting;
    }

    private static void join(Thread thread) {
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                // It came too late for the command.
            }
        }
        Thread.interrupted();
    }

    static void has(String what, String text, String... parts) {
        for (String part : parts) {
            Check.that(text.contains(part), what + " does not print " + part + " but: " + text);
        }
    }

    /** It failed so, in words. */
    static void fails(String what, String text, String... parts) {
        Check.that(text.contains("Exception"), what + " does not fail but prints: " + text);
        has(what, text, parts);
    }

    /** The lines of a table whose first column is this, cut into columns. */
    static List<List<String>> rows(String text, String first) {
        return text.lines().map(line -> List.of(line.trim().split("\\s+"))).filter(row -> row.get(0).equals(first)).toList();
    }

    /** The one line whose first columns are these, cut into columns. */
    static List<String> row(String what, String text, String... first) {
        List<List<String>> found = rows(text, first[0]).stream()
            .filter(row -> row.size() > first.length && row.subList(0, first.length).equals(List.of(first))).toList();
        Check.that(found.size() == 1, what + ": " + found.size() + " rows of " + List.of(first) + " in " + text);
        return found.get(0);
    }

    /** The value behind a name and a colon or an equals sign. */
    static String value(String what, String text, String name) {
        return text.lines().map(line -> line.split("[:=]", 2)).filter(parts -> parts.length == 2 && parts[0].trim().equals(name))
            .map(parts -> parts[1].trim()).findFirst().orElseThrow(() -> Check.failure(what + " does not show " + name + " but: " + text));
    }

    private static void topicList(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("tl", 3);
        List<String> lines = mqadmin(env, "topicList").lines().map(String::trim).toList();
        Check.that(lines.contains(topic) && lines.contains("TBW102"), "topicList lacks " + topic + " or TBW102: " + lines);
        Check.that(admin.fetchAllTopicList().getTopicList().contains(topic), "code 206 lacks " + topic);
    }

    private static void clusterList(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        ClusterInfo info = admin.examineBrokerClusterInfo();
        Check.equal("brokers of " + broker.getCluster(), java.util.Set.of(broker.getBrokerName()),
            info.getClusterAddrTable().get(broker.getCluster()));
        String text = mqadmin(env, "clusterList");
        has("clusterList", text, broker.getCluster(), broker.getBrokerName(), master(broker));
        String line = text.lines().filter(l -> l.contains(master(broker))).findFirst().orElseThrow();
        Check.that(line.trim().split(" +").length >= 8, "clusterList without the broker's run-time figures: " + line);
        has("clusterList -m", mqadmin(env, "clusterList", "-m"), broker.getBrokerName());
    }

    static TopicRouteData route(DefaultMQAdminExt admin, String topic) throws Exception {
        return admin.examineTopicRouteInfo(topic);
    }

    static void queues(DefaultMQAdminExt admin, String topic, int read, int write, int perm) throws Exception {
        Check.eventually(topic + " with " + read + "/" + write + " queues and perm " + perm, () -> {
            QueueData q = route(admin, topic).getQueueDatas().get(0);
            return q.getReadQueueNums() == read && q.getWriteQueueNums() == write && q.getPerm() == perm;
        });
    }

    private static void topicRoute(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("tr", 3);
        TopicRouteData route = route(admin, topic);
        Check.equal("brokers", 1, route.getBrokerDatas().size());
        Check.equal("address", master(broker), route.getBrokerDatas().get(0).getBrokerAddrs().get(0L));
        Check.equal("cluster", broker.getCluster(), route.getBrokerDatas().get(0).getCluster());
        queues(admin, topic, 3, 3, 6);
        has("topicRoute", mqadmin(env, "topicRoute", "-t", topic), broker.getBrokerName(), master(broker), "\"readQueueNums\":3");
        has("topicRoute -l", mqadmin(env, "topicRoute", "-l", "-t", topic), broker.getBrokerName(), master(broker));
    }

    private static void updateTopic(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.topic("ut");
        has("updateTopic", mqadmin(env, "updateTopic", "-c", broker.getCluster(), "-t", topic, "-r", "5", "-w", "4"), "success");
        queues(admin, topic, 5, 4, 6);
        List<Message> sent = env.messages(topic, "u", 4);
        env.spread(sent, 4);
        has("updateTopic", mqadmin(env, "updateTopic", "-b", master(broker), "-t", topic, "-r", "7", "-w", "7", "-p", "4"), "success");
        queues(admin, topic, 7, 7, 4);
        try {
            Check.equal("queues to write to with perm 4", List.of(), env.producer().fetchPublishMessageQueues(topic));
        } catch (MQClientException e) {
            Check.that(e.getMessage() != null, "no reason given");
        }
        Check.exactly(sent, env.drainWhen(topic, 4));
        mqadmin(env, "updateTopic", "-b", master(broker), "-t", topic, "-r", "7", "-w", "7", "-p", "6");
        queues(admin, topic, 7, 7, 6);
        List<Message> more = env.messages(topic, "more", 7);
        Check.eventually("writable queues", () -> env.producer().fetchPublishMessageQueues(topic).size() == 7);
        env.spread(more, 7);
        env.drainWhen(topic, 11);
    }

    private static void deleteTopic(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("dt", 2);
        env.send(env.messages(topic, "d", 4));
        has("deleteTopic", mqadmin(env, "deleteTopic", "-c", broker.getCluster(), "-t", topic), "success");
        Check.eventually("no route of the deleted topic", () -> {
            try {
                route(admin, topic);
                return false;
            } catch (MQClientException e) {
                Check.equal("response code", 17, e.getResponseCode());
                return true;
            }
        });
        Check.that(!admin.fetchAllTopicList().getTopicList().contains(topic), "still in the topic list");
        // Made again, it begins empty.
        env.createTopic("dt", 2);
        Check.equal("messages after making it again", 0, env.drainAll(topic).size());
        List<Message> again = env.messages(topic, "again", 4);
        env.send(again);
        Check.exactly(again, env.drainWhen(topic, 4));
    }

    private static void topicStatus(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("ts", 2);
        env.spread(env.messages(topic, "s", 7), 2);
        env.drainWhen(topic, 7);
        Map<MessageQueue, TopicOffset> table = admin.examineTopicStats(topic).getOffsetTable();
        Check.equal("queues", 2, table.size());
        table.forEach((mq, o) -> {
            Check.equal("topic", topic, mq.getTopic());
            Check.equal("broker", broker.getBrokerName(), mq.getBrokerName());
            Check.equal("min of queue " + mq.getQueueId(), 0L, o.getMinOffset());
            Check.equal("max of queue " + mq.getQueueId(), mq.getQueueId() == 0 ? 4L : 3L, o.getMaxOffset());
            Check.that(Math.abs(System.currentTimeMillis() - o.getLastUpdateTimestamp()) < 600_000, "last update " + o.getLastUpdateTimestamp());
        });
        String text = mqadmin(env, "topicStatus", "-t", topic);
        Check.equal("lines of topicStatus", 2L, text.lines().filter(l -> l.startsWith(broker.getBrokerName())).count());
    }

    private static void kvConfig(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String space = "NS-" + env.param("scope");
        has("updateKvConfig", mqadmin(env, "updateKvConfig", "-s", space, "-k", "a.key", "-v", "wert-1"), "success");
        Check.equal("value", "wert-1", admin.getKVConfig(space, "a.key"));
        mqadmin(env, "updateKvConfig", "-s", space, "-k", "a.key", "-v", "wert-2");
        Check.equal("changed value", "wert-2", admin.getKVConfig(space, "a.key"));
        Check.equal("list", Map.of("a.key", "wert-2"), new java.util.HashMap<>(admin.getKVListByNamespace(space).getTable()));
        has("deleteKvConfig", mqadmin(env, "deleteKvConfig", "-s", space, "-k", "a.key"), "success");
        try {
            Check.equal("value after deleting", null, admin.getKVConfig(space, "a.key"));
        } catch (MQClientException e) {
            Check.equal("response code", 22, e.getResponseCode());
        }
    }

    private static void writePerm(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("wp", 2);
        has("wipeWritePerm", mqadmin(env, "wipeWritePerm", "-b", broker.getBrokerName()), "OK");
        queues(admin, topic, 2, 2, 4);
        has("addWritePerm", mqadmin(env, "addWritePerm", "-b", broker.getBrokerName()), "OK");
        queues(admin, topic, 2, 2, 6);
        Check.eventually("route with queues to write", () -> env.producer().fetchPublishMessageQueues(topic).size() == 2);
        List<Message> sent = env.messages(topic, "w", 4);
        env.send(sent);
        Check.exactly(sent, env.drainWhen(topic, 4));
    }

    private static void brokerConfig(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        Properties p = admin.getBrokerConfig(master(broker));
        Check.equal("brokerName", broker.getBrokerName(), p.getProperty("brokerName"));
        Check.equal("brokerClusterName", broker.getCluster(), p.getProperty("brokerClusterName"));
        String port = master(broker).substring(master(broker).lastIndexOf(':') + 1);
        Check.equal("listenPort", port, p.getProperty("listenPort"));
        for (String key : new String[] {"storePathRootDir", "flushDiskType", "fileReservedTime", "brokerRole", "messageDelayLevel",
            "mappedFileSizeCommitLog", "autoCreateTopicEnable", "defaultTopicQueueNums", "maxMessageSize"}) {
            Check.that(p.getProperty(key) != null, "no " + key + " among the settings");
        }
        has("getBrokerConfig", mqadmin(env, "getBrokerConfig", "-b", master(broker)), "brokerName", broker.getBrokerName());
    }

    private static void updateBrokerConfig(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String before = admin.getBrokerConfig(master(broker)).getProperty("fileReservedTime");
        String changed = Integer.toString(Integer.parseInt(before) - 1);
        mqadmin(env, "updateBrokerConfig", "-b", master(broker), "-k", "fileReservedTime", "-v", changed);
        Check.equal("changed", changed, admin.getBrokerConfig(master(broker)).getProperty("fileReservedTime"));
        mqadmin(env, "updateBrokerConfig", "-c", broker.getCluster(), "-k", "fileReservedTime", "-v", before);
        Check.equal("changed back", before, admin.getBrokerConfig(master(broker)).getProperty("fileReservedTime"));
    }

    private static void brokerStatus(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        Map<String, String> table = admin.fetchBrokerRuntimeStats(master(broker)).getTable();
        for (String key : new String[] {"bootTimestamp", "brokerVersionDesc", "brokerVersion", "msgPutTotalTodayNow",
            "msgGetTotalTodayNow", "putTps", "commitLogMaxOffset", "commitLogMinOffset", "runtime", "commitLogDiskRatio"}) {
            Check.that(table.get(key) != null, "no " + key + " in " + table);
        }
        Check.that(Long.parseLong(table.get("commitLogMaxOffset")) > 0, "commitLogMaxOffset " + table.get("commitLogMaxOffset"));
        has("brokerStatus", mqadmin(env, "brokerStatus", "-b", master(broker)), "bootTimestamp", "brokerVersionDesc", "putTps");
    }

    private static void namesrvConfig(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String ns = env.param("ns");
        String port = ns.substring(ns.lastIndexOf(':') + 1);
        Check.equal("listenPort", port, admin.getNameServerConfig(List.of(ns)).get(ns).getProperty("listenPort"));
        has("getNamesrvConfig", mqadmin(env, "getNamesrvConfig"), "listenPort", "kvConfigPath");
        String topic = env.createTopic("order", 2);
        mqadmin(env, "updateNamesrvConfig", "-k", "orderMessageEnable", "-v", "true");
        Check.equal("orderMessageEnable", "true", admin.getNameServerConfig(List.of(ns)).get(ns).getProperty("orderMessageEnable"));
        mqadmin(env, "updateKvConfig", "-s", "ORDER_TOPIC_CONFIG", "-k", topic, "-v", broker.getBrokerName() + ":2");
        Check.equal("order config in the route", broker.getBrokerName() + ":2", route(admin, topic).getOrderTopicConf());
        mqadmin(env, "deleteKvConfig", "-s", "ORDER_TOPIC_CONFIG", "-k", topic);
        Check.equal("order config after deleting", null, route(admin, topic).getOrderTopicConf());
        mqadmin(env, "updateNamesrvConfig", "-k", "orderMessageEnable", "-v", "false");
    }

    /** A group that may not consume is refused; allowed again, it pulls. */
    private static void updateSubGroup(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("sg", 1);
        String group = env.group("sg");
        List<Message> sent = env.messages(topic, "g", 3);
        env.send(sent);
        env.drainWhen(topic, 3);
        has("updateSubGroup", mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", group, "-s", "false", "-r", "3"), "success");
        DefaultMQPullConsumer c = env.pull(group);
        MessageQueue mq = c.fetchSubscribeMessageQueues(topic).iterator().next();
        try {
            c.pull(mq, "*", 0, 32);
            throw Check.failure("a group that may not consume pulled");
        } catch (MQBrokerException e) {
            Check.equal("response code", 16, e.getResponseCode());
        }
        has("updateSubGroup", mqadmin(env, "updateSubGroup", "-c", broker.getCluster(), "-g", group, "-s", "true"), "success");
        Check.exactly(sent, c.pull(mq, "*", 0, 32).getMsgFoundList());
    }
}
