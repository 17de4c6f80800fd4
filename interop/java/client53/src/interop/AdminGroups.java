package interop;

import static interop.ToolCases.fails;
import static interop.ToolCases.has;
import static interop.ToolCases.master;
import static interop.ToolCases.mqadmin;
import static interop.ToolCases.row;
import static interop.ToolCases.rows;
import static interop.ToolCases.tool;
import static interop.ToolCases.value;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** mqadmin on groups: their settings, their members, their offsets. */
final class AdminGroups {
    private AdminGroups() {
    }

    static void register() {
        tool("getConsumerConfig", AdminGroups::getConsumerConfig);
        tool("updateSubGroupList", AdminGroups::updateSubGroupList);
        tool("deleteSubGroup", AdminGroups::deleteSubGroup);
        tool("producerConnection", AdminGroups::producerConnection);
        tool("producer", AdminGroups::producers);
        tool("consumerConnection", AdminGroups::consumerConnection);
        tool("consumerProgress", AdminGroups::consumerProgress);
        tool("consumerStatus", AdminGroups::consumerStatus);
        tool("brokerConsumeStats", AdminGroups::brokerConsumeStats);
        tool("cloneGroupOffset", AdminGroups::cloneGroupOffset);
        tool("cloneGroupOffset-nobody", AdminGroups::cloneToNobody);
        tool("resetOffsetByTime", AdminGroups::resetWhileAway);
        tool("resetOffsetByTimeOld", AdminGroups::resetTheOldWay);
        tool("getConsumerStatus", AdminGroups::getConsumerStatus);
        tool("resetOffsetByTime-live", AdminGroups::resetWhileThere);
        tool("resetOffsetByTime-queue", AdminGroups::resetOneQueue);
        tool("skipAccumulatedMessage", AdminGroups::skip);
        tool("statsAll", AdminGroups::statsAll);
        tool("noSuchGroup", AdminGroups::noSuchGroup);
    }

    private static void getConsumerConfig(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String group = env.group("adm-config");
        String set = mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", group, "-r", "3", "-q", "2", "-d", "true", "-m", "false", "-w", "1");
        has("updateSubGroup", set, master(broker), "success", group, "retryMaxTimes=3");
        String text = mqadmin(env, "getConsumerConfig", "-g", group);
        has("getConsumerConfig", text, broker.getCluster() + ":" + broker.getBrokerName());
        Map<String, String> expected = Map.of("groupName", group, "consumeEnable", "true", "consumeFromMinEnable", "false",
            "consumeBroadcastEnable", "true", "retryQueueNums", "2", "retryMaxTimes", "3", "brokerId", "0",
            "whichBrokerWhenConsumeSlowly", "1", "notifyConsumerIdsChangedEnable", "true");
        expected.forEach((key, value) -> Check.equal(key, value, value("getConsumerConfig", text, key)));
    }

    private static void updateSubGroupList(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String a = env.group("adm-list-a");
        String b = env.group("adm-list-b");
        String json = String.format("[{\"groupName\":\"%s\",\"retryMaxTimes\":4},{\"groupName\":\"%s\",\"retryMaxTimes\":5,\"consumeEnable\":false}]", a, b);
        String file = AdminTopics.file("groups.json", json);
        has("updateSubGroupList", mqadmin(env, "updateSubGroupList", "-b", master(broker), "-f", file), master(broker), "success");
        Check.equal("retries of the first", "4", value("first", mqadmin(env, "getConsumerConfig", "-g", a), "retryMaxTimes"));
        String text = mqadmin(env, "getConsumerConfig", "-g", b);
        Check.equal("retries of the second", "5", value("second", text, "retryMaxTimes"));
        Check.equal("second enabled", "false", value("second", text, "consumeEnable"));
    }

    /** Its settings go, and its offsets if asked for. */
    private static void deleteSubGroup(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-dsg", 1);
        String group = env.group("adm-dsg");
        mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", group, "-r", "3");
        env.send(env.messages(topic, "d", 3));
        consumed(env, admin, group, topic, 3);
        has("deleteSubGroup", mqadmin(env, "deleteSubGroup", "-b", master(broker), "-g", group, "-r", "true"),
            "delete subscription group [" + group + "] from broker [" + master(broker) + "] success");
        Check.that(!admin.getAllSubscriptionGroup(master(broker), 5000).getSubscriptionGroupTable().containsKey(group), group + " is still there");
        // Made anew, it has neither.
        mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", group, "-r", "9");
        Check.equal("offsets of the new group", List.of(), List.copyOf(admin.queryTopicConsumeByWho(topic).getGroupList()).stream()
            .filter(group::equals).toList());
        Check.equal("retries of the new group", "9", value("new", mqadmin(env, "getConsumerConfig", "-g", group), "retryMaxTimes"));
    }

    private static void producerConnection(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-pc", 1);
        env.send(env.messages(topic, "c", 1));
        String client = env.producer().buildMQClientId();
        Check.eventually("the producer", () -> {
            String text = mqadmin(env, "producerConnection", "-g", env.producer().getProducerGroup(), "-t", topic);
            return rows(text, "0001").stream().anyMatch(row -> row.get(1).equals(client) && row.get(2).startsWith("127.0.0.1:")
                && row.get(3).equals("JAVA") && row.get(4).equals("V5_3_3"));
        });
        fails("producerConnection", mqadmin(env, "producerConnection", "-g", "P-none", "-t", topic), "CODE: 1 ", "P-none", "not exist");
    }

    private static void producers(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        env.send(env.messages(env.createTopic("adm-pr", 1), "c", 1));
        String client = env.producer().buildMQClientId();
        String expected = "producer group (" + env.producer().getProducerGroup() + ") instance : clientId=" + client + ",remoteIP=/127.0.0.1:";
        Check.eventually("the producer", () -> {
            String text = mqadmin(env, "producer", "-b", master(broker));
            return text.lines().anyMatch(l -> l.startsWith(expected) && l.contains("language=JAVA") && l.contains("lastUpdateTimestamp="));
        });
    }

    private static void consumerConnection(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-cc", 1);
        String group = env.group("adm-cc");
        Env.Inbox box = env.inbox(group, topic, "T0 || T1");
        String client = box.consumer.buildMQClientId();
        for (String[] more : new String[][] {{}, {"-b", master(broker)}}) {
            String[] words = concat(new String[] {"consumerConnection", "-g", group}, more);
            Check.eventually("the consumer", () -> !rows(mqadmin(env, words), client).isEmpty());
            String text = mqadmin(env, words);
            List<String> row = row("consumerConnection", text, client);
            Check.that(row.get(1).startsWith("127.0.0.1:"), "address " + row);
            Check.equal("language and version", List.of("JAVA", "V5_3_3"), row.subList(2, 4));
            Check.equal("subscription", List.of(topic, "T0", "||", "T1"), row("consumerConnection", text, topic));
            Check.equal("retries", List.of(List.of("%RETRY%" + group, "*")), rows(text, "%RETRY%" + group));
            Check.equal("type", "CONSUME_PASSIVELY", value("it", text, "ConsumeType"));
            Check.equal("model", "CLUSTERING", value("it", text, "MessageModel"));
            Check.equal("from", "CONSUME_FROM_FIRST_OFFSET", value("it", text, "ConsumeFromWhere"));
        }
    }

    private static String[] concat(String[] a, String[] b) {
        return java.util.stream.Stream.of(a, b).flatMap(java.util.Arrays::stream).toArray(String[]::new);
    }

    /** The group has consumed so many, committed that, and is gone. */
    private static void consumed(Env env, DefaultMQAdminExt admin, String group, String topic, int count) throws Exception {
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("all consumed", () -> box.count() == count);
        box.consumer.shutdown();
        Check.eventually("all committed", () -> committed(admin, group, topic).equals(env.ends(topic)));
    }

    /** The group's offsets by queue, asked for without becoming a member. */
    static Map<Integer, Long> committed(DefaultMQAdminExt admin, String group, String topic) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        admin.examineConsumeStats(group, topic).getOffsetTable().forEach((queue, offset) -> offsets.put(queue.getQueueId(), offset.getConsumerOffset()));
        return offsets;
    }

    private static void consumerProgress(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-cp", 2);
        String group = env.group("adm-cp");
        env.spread(env.messages(topic, "first", 4), 2);
        consumed(env, admin, group, topic, 4);
        env.spread(env.messages(topic, "lag", 3), 2);
        env.drainWhen(topic, 7);
        String text = mqadmin(env, "consumerProgress", "-g", group);
        for (int queue = 0; queue < 2; queue++) {
            List<String> row = row("consumerProgress", text, topic, broker.getBrokerName(), Integer.toString(queue));
            // End, committed, difference, in flight.
            Check.equal("queue " + queue, queue == 0 ? List.of("4", "2", "2", "0") : List.of("3", "2", "1", "0"), row.subList(3, 7));
        }
        Check.equal("lag", "3", value("consumerProgress", text, "Consume Diff Total"));
        // All groups, by name.
        List<String> sum = row("consumerProgress", mqadmin(env, "consumerProgress"), group);
        // Members, version; the rate depends on when it was sampled; lag.
        Check.equal("of all groups", List.of(group, "0", "OFFLINE", "3"), List.of(sum.get(0), sum.get(1), sum.get(2), sum.get(4)));
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("the rest", () -> box.count() == 3);
        String ip = box.consumer.buildMQClientId().split("@")[0];
        Check.eventually("no lag, and who has the queues", () -> {
            String now = mqadmin(env, "consumerProgress", "-g", group, "-s", "true");
            return value("it", now, "Consume Diff Total").equals("0") && rows(now, topic).stream().allMatch(row -> row.get(5).equals(ip));
        });
        List<String> live = row("consumerProgress", mqadmin(env, "consumerProgress"), group);
        Check.equal("of the live group", List.of(group, "1", "V5_3_3", "PUSH", "CLUSTERING"), live.subList(0, 5));
    }

    private static void consumerStatus(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-cs", 2);
        String group = env.group("adm-cs");
        env.send(env.messages(topic, "s", 2));
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("all consumed", () -> box.count() == 2);
        String client = box.consumer.buildMQClientId();
        Check.eventually("the member and its queues", () -> mqadmin(env, "consumerStatus", "-g", group, "-i", client).contains(broker.getBrokerName()));
        has("consumerStatus -i", mqadmin(env, "consumerStatus", "-g", group, "-i", client), "#Consumer Properties#", "#Consumer Subscription#",
            "#Consumer Offset#", "#Consumer MQ Detail#", "#Consumer RT&TPS#", topic, "CONSUME_PASSIVELY");
        has("consumerStatus -s", mqadmin(env, "consumerStatus", "-g", group, "-i", client, "-s"), "TID:", "STATE:");
        String all = mqadmin(env, "consumerStatus", "-g", group);
        has("consumerStatus", all, client, "V5_3_3", "Same subscription in the same group of consumer", "Rebalance OK");
    }

    private static void brokerConsumeStats(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-bcs", 2);
        String group = env.group("adm-bcs");
        env.spread(env.messages(topic, "b", 4), 2);
        consumed(env, admin, group, topic, 4);
        env.spread(env.messages(topic, "lag", 1), 1);
        env.drainWhen(topic, 5);
        String text = mqadmin(env, "brokerConsumeStats", "-b", master(broker));
        List<String> row = row("brokerConsumeStats", text, topic, group, broker.getBrokerName(), "0");
        Check.equal("queue 0", List.of("3", "2", "1"), row.subList(4, 7));
        row = row("brokerConsumeStats", text, topic, group, broker.getBrokerName(), "1");
        Check.equal("queue 1", List.of("2", "2", "0"), row.subList(4, 7));
        Check.that(Long.parseLong(value("it", text, "Diff Total")) >= 1, "sum in " + text);
        // Only what lags at least that much.
        String big = mqadmin(env, "brokerConsumeStats", "-b", master(broker), "-l", "1000000");
        Check.equal("lag of a million", List.of(), rows(big, topic));
    }

    private static void cloneGroupOffset(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-clone", 2);
        String from = env.group("adm-clone-from");
        String to = env.group("adm-clone-to");
        env.spread(env.messages(topic, "c", 5), 2);
        consumed(env, admin, from, topic, 5);
        mqadmin(env, "updateSubGroup", "-b", master(broker), "-g", to, "-r", "3");
        has("cloneGroupOffset", mqadmin(env, "cloneGroupOffset", "-s", from, "-d", to, "-t", topic), "clone group offset success", from, to, topic);
        Check.equal("offsets of the clone", new TreeMap<>(Map.of(0, 3L, 1, 2L)), env.committed(to, topic));
        List<Message> more = env.messages(topic, "more", 2);
        env.spread(more, 2);
        env.inbox(to, topic, "*").expect(more);
    }

    private static void resetWhileAway(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-reset", 2);
        String group = env.group("adm-reset");
        List<Message> sent = env.messages(topic, "r", 5);
        env.spread(sent, 2);
        consumed(env, admin, group, topic, 5);
        String text = mqadmin(env, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "0");
        has("resetOffsetByTime", text, "group[" + group + "]", "topic[" + topic + "]");
        for (int queue = 0; queue < 2; queue++) {
            Check.equal("new offset", "0", row("resetOffsetByTime", text, broker.getBrokerName(), Integer.toString(queue)).get(2));
        }
        // It begins again, with the first.
        env.inbox(group, topic, "*").expect(sent);
    }

    private static void resetWhileThere(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-reset-live", 2);
        String group = env.group("adm-reset-live");
        List<Message> sent = env.messages(topic, "r", 6);
        env.spread(sent, 2);
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("all", () -> box.count() == 6);
        Check.eventually("all committed", () -> committed(admin, group, topic).equals(env.ends(topic)));
        String text = mqadmin(env, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "0");
        for (int queue = 0; queue < 2; queue++) {
            Check.equal("new offset", "0", row("resetOffsetByTime", text, broker.getBrokerName(), Integer.toString(queue)).get(2));
        }
        Check.eventually("all again", () -> box.count() >= 12);
        text = mqadmin(env, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "now");
        for (int queue = 0; queue < 2; queue++) {
            Check.equal("end", "3", row("resetOffsetByTime", text, broker.getBrokerName(), Integer.toString(queue)).get(2));
        }
    }

    private static void resetOneQueue(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-reset-queue", 2);
        String group = env.group("adm-reset-queue");
        List<Message> sent = env.messages(topic, "q", 6);
        env.spread(sent, 2);
        consumed(env, admin, group, topic, 6);
        String text = mqadmin(env, "resetOffsetByTime", "-g", group, "-t", topic, "-s", "-1", "-b", master(broker), "-q", "1", "-o", "1");
        has("resetOffsetByTime -q -o", text, "reset consumer offset to 1");
        // Queue 1 holds the second, the fourth and the sixth.
        env.inbox(group, topic, "*").expect(List.of(sent.get(3), sent.get(5)));
    }

    private static void skip(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-skip", 2);
        String group = env.group("adm-skip");
        env.spread(env.messages(topic, "s", 4), 2);
        consumed(env, admin, group, topic, 4);
        env.spread(env.messages(topic, "skipped", 6), 2);
        env.drainWhen(topic, 10);
        String text = mqadmin(env, "skipAccumulatedMessage", "-g", group, "-t", topic);
        for (int queue = 0; queue < 2; queue++) {
            Check.equal("end", "5", row("skipAccumulatedMessage", text, broker.getBrokerName(), Integer.toString(queue)).get(2));
        }
        Env.Inbox box = env.inbox(group, topic, "*");
        box.awaitQueues(topic, 2);
        List<Message> after = env.messages(topic, "after", 2);
        env.spread(after, 2);
        box.expect(after);
    }

    /** The lag is exact; the counts are those of what was sampled so far, which is never more than what was sent. */
    private static void statsAll(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-stats", 1);
        String group = env.group("adm-stats");
        env.send(env.messages(topic, "s", 2));
        consumed(env, admin, group, topic, 2);
        long[] sent = {2};
        Check.eventually("messages of the last 24 hours", () -> {
            env.send(env.messages(topic, "more" + sent[0], 1));
            sent[0]++;
            Thread.sleep(700);
            List<String> row = row("statsAll", mqadmin(env, "statsAll", "-t", topic), topic, group);
            Check.that(Long.parseLong(row.get(2)) == sent[0] - 2, "lag after " + sent[0] + " messages: " + row);
            long in = Long.parseLong(row.get(5));
            Check.that(in <= sent[0], sent[0] + " messages were sent: " + row);
            return in > 0 && Double.parseDouble(row.get(3)) > 0;
        });
        String lonely = env.createTopic("adm-stats-lonely", 1);
        has("a topic without consumers", mqadmin(env, "statsAll", "-t", lonely), lonely, "NO_CONSUMER");
    }

    private static void noSuchGroup(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-nsg", 1);
        env.send(env.messages(topic, "n", 1));
        for (String command : new String[] {"consumerConnection", "consumerStatus", "consumerProgress"}) {
            fails(command, mqadmin(env, command, "-g", "G-none"), "CODE: ", "G-none");
        }
        for (String[] words : new String[][] {{"resetOffsetByTime", "-g", "G-none", "-t", topic, "-s", "0"}, {"skipAccumulatedMessage", "-g", "G-none", "-t", topic}}) {
            fails(words[0], mqadmin(env, words), "CODE: 26 ", "G-none");
        }
    }

    private static void cloneToNobody(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-clone-nobody", 1);
        env.send(env.messages(topic, "n", 1));
        String from = env.group("adm-clone-nobody");
        consumed(env, admin, from, topic, 1);
        fails("cloneGroupOffset", mqadmin(env, "cloneGroupOffset", "-s", from, "-d", "G-none", "-t", topic), "CODE: 26 ", "G-none");
    }

    /** Without members: the broker's offsets are written one by one. No command of mqadmin 5.3.3 does it any more. */
    private static void resetTheOldWay(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-reset-old", 2);
        String group = env.group("adm-reset-old");
        List<Message> sent = env.messages(topic, "r", 5);
        env.spread(sent, 2);
        consumed(env, admin, group, topic, 5);
        var moved = admin.resetOffsetByTimestampOld(group, topic, 0, true);
        Check.equal("queues", 2, moved.size());
        for (var queue : moved) {
            long end = queue.getQueueId() == 0 ? 3 : 2;
            Check.equal("end, committed before, the offset of that time, committed now", List.of(end, end, 0L, 0L),
                List.of(queue.getBrokerOffset(), queue.getConsumerOffset(), queue.getTimestampOffset(), queue.getRollbackOffset()));
        }
        Check.equal("offsets", new TreeMap<>(Map.of(0, 0L, 1, 0L)), env.committed(group, topic));
        env.inbox(group, topic, "*").expect(sent);
    }

    /** The members are asked for their offsets, through the broker. No command of mqadmin 5.3.3 does it any more. */
    private static void getConsumerStatus(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-gcs", 2);
        String group = env.group("adm-gcs");
        env.spread(env.messages(topic, "g", 5), 2);
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("all consumed", () -> box.count() == 5);
        String client = box.consumer.buildMQClientId();
        Map<MessageQueue, Long> offsets = Map.of(new MessageQueue(topic, broker.getBrokerName(), 0), 3L, new MessageQueue(topic, broker.getBrokerName(), 1), 2L);
        for (String of : new String[] {"", client}) {
            Check.eventually("the member's offsets", () -> admin.getConsumeStatus(topic, group, of).equals(Map.of(client, offsets)));
        }
        Check.that(!admin.getConsumeStatus(topic, group, "no-such-client").containsKey(client), "the one and only was asked in place of nobody");
    }
}
