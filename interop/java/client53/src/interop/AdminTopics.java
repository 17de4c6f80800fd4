package interop;

import static interop.ToolCases.fails;
import static interop.ToolCases.has;
import static interop.ToolCases.master;
import static interop.ToolCases.mqadmin;
import static interop.ToolCases.queues;
import static interop.ToolCases.route;
import static interop.ToolCases.row;
import static interop.ToolCases.tool;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** mqadmin on topics, brokers and name servers. */
final class AdminTopics {
    private AdminTopics() {
    }

    static void register() {
        tool("updateTopicList", AdminTopics::updateTopicList);
        tool("updateTopicPerm", AdminTopics::updateTopicPerm);
        tool("updateTopicPerm-dlq", AdminTopics::deadLetters);
        tool("topicClusterList", AdminTopics::topicClusterList);
        tool("topicList-c", AdminTopics::topicListOfClusters);
        tool("updateOrderConf", AdminTopics::updateOrderConf);
        tool("clusterList-m", AdminTopics::clusterTotals);
        tool("noSuchTopic", AdminTopics::noSuchTopic);
        tool("cleanExpiredCQ", (env, admin, broker) -> cleans(env, broker, "cleanExpiredCQ"));
        tool("deleteExpiredCommitLog", (env, admin, broker) -> cleans(env, broker, "deleteExpiredCommitLog"));
        tool("cleanUnusedTopic", AdminTopics::cleanUnusedTopic);
        tool("allocateMQ", AdminTopics::allocateMQ);
        tool("exportMetadata", AdminTopics::exportMetadata);
        tool("exportConfigs", AdminTopics::exportConfigs);
        tool("exportMetrics", AdminTopics::exportMetrics);
        tool("noController", AdminTopics::noController);
        tool("noContainer", AdminTopics::noContainer);
        tool("topicOfTwoBrokers", 2, AdminTopics::topicOfTwoBrokers);
        tool("notSupported", AdminTopics::notSupported);
    }

    /** A file in this process's home with that text. */
    static String file(String name, String text) throws Exception {
        return Files.writeString(Path.of(System.getProperty("user.home"), name), text).toString();
    }

    private static void updateTopicList(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String a = env.topic("adm-list-a");
        String b = env.topic("adm-list-b");
        String json = String.format("[{\"topicName\":\"%s\",\"readQueueNums\":2,\"writeQueueNums\":2,\"perm\":6},"
            + "{\"topicName\":\"%s\",\"readQueueNums\":3,\"writeQueueNums\":3,\"perm\":4}]", a, b);
        String file = file("topics.json", json);
        has("updateTopicList", mqadmin(env, "updateTopicList", "-b", master(broker), "-f", file), master(broker), "success");
        queues(admin, a, 2, 2, 6);
        queues(admin, b, 3, 3, 4);
    }

    private static void updateTopicPerm(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-perm", 2);
        has("updateTopicPerm -c", mqadmin(env, "updateTopicPerm", "-c", broker.getCluster(), "-t", topic, "-p", "4"),
            "update topic perm from 6 to 4 in " + master(broker) + " success");
        queues(admin, topic, 2, 2, 4);
        has("the same again", mqadmin(env, "updateTopicPerm", "-b", master(broker), "-t", topic, "-p", "4"), "new perm equals to the old one");
        has("updateTopicPerm -b", mqadmin(env, "updateTopicPerm", "-b", master(broker), "-t", topic, "-p", "6"), "from 4 to 6", "perm=RW-");
        queues(admin, topic, 2, 2, 6);
        Check.eventually("writable", () -> env.producer().fetchPublishMessageQueues(topic).size() == 2);
        env.send(env.messages(topic, "p", 2));
    }

    /** Dead letters are closed to readers and opened again. */
    private static void deadLetters(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-perm-dlq", 1);
        String group = env.group("adm-perm-dlq");
        env.send(env.messages(topic, "d", 1));
        DefaultMQPushConsumer failing = env.push(group);
        failing.subscribe(topic, "*");
        failing.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(-1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        failing.start();
        String dead = "%DLQ%" + group;
        Check.eventually("a dead letter", () -> env.drainAll(dead).size() == 1);
        DefaultMQPullConsumer reader = env.pull(env.group("adm-perm-dlq-reader"));
        MessageQueue queue = new MessageQueue(dead, broker.getBrokerName(), 0);
        has("close", mqadmin(env, "updateTopicPerm", "-b", master(broker), "-t", dead, "-p", "2"), "from 6 to 2");
        try {
            reader.pull(queue, "*", 0, 32);
            throw Check.failure("dead letters are read with perm 2");
        } catch (MQBrokerException e) {
            Check.equal("response code", 16, e.getResponseCode());
        }
        has("open", mqadmin(env, "updateTopicPerm", "-b", master(broker), "-t", dead, "-p", "6"), "from 2 to 6");
        Check.equal("dead letters", 1, reader.pull(queue, "*", 0, 32).getMsgFoundList().size());
    }

    private static void topicClusterList(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-tcl", 1);
        Check.equal("topicClusterList", broker.getCluster(), mqadmin(env, "topicClusterList", "-t", topic).trim());
    }

    /** The groups that consume a topic stand beside it. */
    private static void topicListOfClusters(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-tlc", 1);
        String group = env.group("adm-tlc");
        env.send(env.messages(topic, "c", 2));
        env.inbox(group, topic, "*").expect(env.drainWhen(topic, 2));
        Check.eventually("the group beside its topic", () -> mqadmin(env, "topicList", "-c").lines()
            .anyMatch(line -> List.of(line.trim().split("\\s+")).equals(List.of(broker.getCluster(), topic, group))));
    }

    private static void updateOrderConf(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.topic("adm-order-conf");
        String conf = broker.getBrokerName() + ":3";
        has("updateTopic -o", mqadmin(env, "updateTopic", "-b", master(broker), "-t", topic, "-r", "3", "-w", "3", "-o", "true"),
            "isOrder=true", "orderConf=[" + conf + "]", "success", "order=true");
        has("get", mqadmin(env, "updateOrderConf", "-t", topic, "-m", "get"), "topic=[" + topic + "]", "orderConf=[" + conf + "]");
        String other = broker.getBrokerName() + ":2";
        has("put", mqadmin(env, "updateOrderConf", "-t", topic, "-m", "put", "-v", other), "orderConf=[" + other + "]");
        has("get after put", mqadmin(env, "updateOrderConf", "-t", topic, "-m", "get"), "orderConf=[" + other + "]");
        has("delete", mqadmin(env, "updateOrderConf", "-t", topic, "-m", "delete"), "delete orderConf success");
        fails("get after delete", mqadmin(env, "updateOrderConf", "-t", topic, "-m", "get"), "CODE: 22");
    }

    private static void clusterTotals(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-totals", 1);
        long before = Long.parseLong(totals(env, broker).get(4));
        env.send(env.messages(topic, "t", 7));
        env.drainWhen(topic, 7);
        Check.eventually("7 more in today's total", () -> Long.parseLong(totals(env, broker).get(4)) >= before + 7);
        Check.that(Long.parseLong(totals(env, broker).get(5)) >= 7, "messages out today: " + totals(env, broker));
        String text = mqadmin(env, "clusterList", "-c", broker.getCluster());
        List<String> row = row("clusterList -c", text, broker.getCluster(), broker.getBrokerName(), "0", master(broker));
        Check.that(!row.get(4).isEmpty() && !text.contains("null"), "figures that are not there: " + text);
    }

    private static List<String> totals(Env env, BrokerData broker) throws Exception {
        return row("clusterList -m", mqadmin(env, "clusterList", "-m"), broker.getCluster(), broker.getBrokerName());
    }

    private static void noSuchTopic(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        for (String command : new String[] {"topicStatus", "topicRoute", "topicClusterList"}) {
            fails(command, mqadmin(env, command, "-t", "no-such-topic"), "CODE: 17", "no-such-topic");
        }
        fails("updateTopicPerm", mqadmin(env, "updateTopicPerm", "-b", master(broker), "-t", "no-such-topic", "-p", "4"), "CODE: 17", "no-such-topic");
    }

    private static void cleans(Env env, BrokerData broker, String command) throws Exception {
        String topic = env.createTopic("adm-clean-" + command, 1);
        List<Message> sent = env.messages(topic, "kept", 3);
        env.send(sent);
        Check.equal(command + " -b", "success", mqadmin(env, command, "-b", master(broker)).trim());
        has(command + " -c", mqadmin(env, command, "-c", broker.getCluster()), "success");
        Check.exactly(sent, env.drainWhen(topic, 3));
    }

    /** What is left of a topic that the broker does not know any more goes; the others stay. */
    private static void cleanUnusedTopic(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String kept = env.createTopic("adm-used", 1);
        List<Message> sent = env.messages(kept, "kept", 3);
        env.send(sent);
        has("cleanUnusedTopic", mqadmin(env, "cleanUnusedTopic", "-b", master(broker)), "success");
        has("cleanUnusedTopic -c", mqadmin(env, "cleanUnusedTopic", "-c", broker.getCluster()), "success");
        Check.exactly(sent, env.drainWhen(kept, 3));
        Check.equal("queues", 1, route(admin, kept).getQueueDatas().get(0).getReadQueueNums());
    }

    private static void allocateMQ(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-allocate", 3);
        String text = mqadmin(env, "allocateMQ", "-t", topic, "-i", "10.0.0.1,10.0.0.2");
        Map<?, ?> result = (Map<?, ?>) com.alibaba.fastjson2.JSON.parseObject(text).get("result");
        Check.equal("of the first", 2, ((List<?>) result.get("10.0.0.1")).size());
        Check.equal("of the second", 1, ((List<?>) result.get("10.0.0.2")).size());
        has("allocateMQ", text, topic, broker.getBrokerName());
    }

    private static String exported(Env env, String command, BrokerData broker, String name) throws Exception {
        String dir = System.getProperty("user.home") + "/exported";
        has(command, mqadmin(env, command, "-c", broker.getCluster(), "-f", dir), "export " + dir + "/" + name + " success");
        return Files.readString(Path.of(dir, name));
    }

    private static void exportMetadata(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-exported", 3);
        String group = env.group("adm-exported");
        mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", group, "-r", "7");
        var all = com.alibaba.fastjson2.JSON.parseObject(exported(env, "exportMetadata", broker, "metadata.json"));
        var config = all.getJSONObject("topicConfigTable").getJSONObject(topic);
        Check.equal("queues of " + topic, 3, config.getIntValue("readQueueNums"));
        Check.equal("perm of " + topic, 6, config.getIntValue("perm"));
        Check.equal("retries of " + group, 7, all.getJSONObject("subscriptionGroupTable").getJSONObject(group).getIntValue("retryMaxTimes"));
    }

    private static void exportConfigs(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        var all = com.alibaba.fastjson2.JSON.parseObject(exported(env, "exportConfigs", broker, "configs.json"));
        Check.equal("masters", 1, all.getJSONObject("clusterScale").getIntValue("masterBrokerSize"));
        Check.equal("name servers", 1, all.getJSONObject("clusterScale").getIntValue("namesrvSize"));
        var config = all.getJSONObject("brokerConfigs").getJSONObject(broker.getBrokerName());
        var live = admin.getBrokerConfig(master(broker));
        for (String key : new String[] {"brokerName", "brokerClusterName", "brokerRole", "flushDiskType", "fileReservedTime", "maxMessageSize",
            "messageDelayLevel", "autoCreateTopicEnable"}) {
            Check.equal(key, live.getProperty(key), config.getString(key));
        }
    }

    private static void exportMetrics(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        env.inbox(env.group("adm-metrics"), env.createTopic("adm-metrics", 1), "*");
        var all = com.alibaba.fastjson2.JSON.parseObject(exported(env, "exportMetrics", broker, "metrics.json"));
        var report = all.getJSONObject("evaluateReport").getJSONObject(broker.getBrokerName());
        Check.that(!report.getJSONObject("runtimeVersion").getString("rocketmqVersion").isEmpty(), "version in " + report);
        Check.that(report.getJSONObject("runtimeQuota").getIntValue("topicSize") > 1, "topics in " + report);
        Check.that(report.getJSONObject("runtimeQuota").getIntValue("groupSize") > 0, "groups in " + report);
        double disk = report.getJSONObject("runtimeQuota").getJSONObject("diskRatio").getDoubleValue("commitLogDiskRatio");
        Check.that(disk > 0 && disk < 1, "disk in " + report);
    }

    /** Requests for controllers: neither name server has one in it. */
    private static void noController(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String ns = env.param("ns");
        String name = broker.getBrokerName();
        String not = "not supported";
        fails("getControllerMetaData", mqadmin(env, "getControllerMetaData", "-a", ns), "CODE: 3 ", "1005 " + not);
        fails("getSyncStateSet", mqadmin(env, "getSyncStateSet", "-a", ns, "-b", name), "CODE: 3 ", "1005 " + not);
        fails("getControllerConfig", mqadmin(env, "getControllerConfig", "-a", ns), "CODE: 3 ", "1010 " + not);
        fails("updateControllerConfig", mqadmin(env, "updateControllerConfig", "-a", ns, "-k", "a", "-v", "b"), "CODE: 3 ", "1009 " + not);
        fails("electMaster", mqadmin(env, "electMaster", "-a", ns, "-b", "0", "-bn", name, "-c", broker.getCluster()), "CODE: 3 ", "1005 " + not);
    }

    /** Requests for containers of brokers, which neither broker is. */
    private static void noContainer(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        fails("addBroker", mqadmin(env, "addBroker", "-c", master(broker), "-b", "/no/such.conf"), "CODE: 3 ", "902 not supported");
        fails("removeBroker", mqadmin(env, "removeBroker", "-c", master(broker), "-b", broker.getCluster() + ":" + broker.getBrokerName() + ":0"),
            "CODE: 3 ", "903 not supported");
        Check.equal("it goes on", broker.getBrokerName(), admin.getBrokerConfig(master(broker)).getProperty("brokerName"));
    }

    /** A topic that a command makes in a cluster is on each of its brokers, and used there. */
    private static void topicOfTwoBrokers(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.topic("adm-two");
        has("updateTopic", mqadmin(env, "updateTopic", "-c", broker.getCluster(), "-t", topic, "-r", "8", "-w", "8"), "success");
        Check.eventually("8 queues on each of two", () -> {
            var all = route(admin, topic).getQueueDatas();
            return all.size() == 2 && all.stream().allMatch(q -> q.getReadQueueNums() == 8 && q.getWriteQueueNums() == 8);
        });
        Check.eventually("16 queues to write to", () -> env.producer().fetchPublishMessageQueues(topic).size() == 16);
        List<MessageQueue> queues = env.producer().fetchPublishMessageQueues(topic);
        List<Message> sent = env.messages(topic, "two", 32);
        for (int i = 0; i < sent.size(); i++) {
            env.producer().send(sent.get(i), queues.get(i % queues.size()));
        }
        env.inbox(env.group("adm-two"), topic, "*").expect(sent);
        String text = mqadmin(env, "topicStatus", "-t", topic);
        for (MessageQueue queue : queues) {
            List<String> row = row("topicStatus", text, queue.getBrokerName(), Integer.toString(queue.getQueueId()));
            Check.equal("of " + queue, List.of("0", "2"), row.subList(2, 4));
        }
        Check.equal("brokers", 2L, queues.stream().map(MessageQueue::getBrokerName).distinct().count());
    }

    /** What our broker has not got it says, by the request's number and with the reason; Apache's has it. */
    private static void notSupported(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        if (Boolean.getBoolean("interop.apache")) {
            return;
        }
        String topic = env.createTopic("adm-not", 1);
        String at = master(broker);
        String ns = env.param("ns");
        String[] refused = {
            "200056 exportPopRecord -b " + at,
            "907 haStatus -b " + at,
            "1007 getBrokerEpoch -b " + broker.getBrokerName(),
            "908 resetMasterFlushOffset -b " + at + " -o 0",
            "1005 cleanBrokerMetadata -a " + ns + " -bn " + broker.getBrokerName() + " -c " + broker.getCluster() + " -b 0",
            "401 setConsumeMode -b " + at + " -t " + topic + " -g G-not -m POP",
            "513 updateStaticTopic -b " + broker.getBrokerName() + " -t " + topic + "-static -qn 2",
            "2003 getColdDataFlowCtrInfo -b " + at,
            "2001 updateColdDataFlowCtrGroupConfig -b " + at + " -g G-not -v 100",
            "2002 removeColdDataFlowCtrGroupConfig -b " + at + " -g G-not",
            "2004 setCommitLogReadAheadMode -b " + at + " -m 0",
            "354 checkRocksdbCqWriteProgress -c " + broker.getCluster(),
            "3001 createUser -b " + at + " -u user -p secret",
            "3002 updateUser -b " + at + " -u user -p secret",
            "3003 deleteUser -b " + at + " -u user",
            "3004 getUser -b " + at + " -u user",
            "3005 listUser -b " + at,
            "3005 copyUser -f " + at + " -t " + at,
            "3006 createAcl -b " + at + " -s User:user -r Topic:* -a Pub -d Allow",
            "3007 updateAcl -b " + at + " -s User:user -r Topic:* -a Pub -d Allow",
            "3008 deleteAcl -b " + at + " -s User:user",
            "3009 getAcl -b " + at + " -s User:user",
            "3010 listAcl -b " + at,
            "3010 copyAcl -f " + at + " -t " + at,
        };
        for (String line : refused) {
            String[] words = line.split(" ");
            String text = mqadmin(env, java.util.Arrays.copyOfRange(words, 1, words.length)) + ToolCases.errors;
            has(line, text, "CODE: 3 ", "request type " + words[0] + " not supported (");
        }
        fails("a topic that is none", mqadmin(env, "remappingStaticTopic", "-b", broker.getBrokerName(), "-t", topic), "Mapping info should not be null");
        Check.equal("it goes on", broker.getBrokerName(), admin.getBrokerConfig(at).getProperty("brokerName"));
    }
}
