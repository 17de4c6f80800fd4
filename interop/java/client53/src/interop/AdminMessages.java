package interop;

import static interop.ToolCases.fails;
import static interop.ToolCases.has;
import static interop.ToolCases.master;
import static interop.ToolCases.mqadmin;
import static interop.ToolCases.row;
import static interop.ToolCases.rows;
import static interop.ToolCases.tool;
import static interop.ToolCases.value;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** mqadmin on messages: found, printed, sent, consumed. */
final class AdminMessages {
    private AdminMessages() {
    }

    static void register() {
        tool("queryMsgById", AdminMessages::queryMsgById);
        tool("queryMsgById-resend", AdminMessages::resend);
        tool("queryMsgById-consume", AdminMessages::consumeDirectly);
        tool("queryMsgByKey", AdminMessages::queryMsgByKey);
        tool("queryMsgByUniqueKey", AdminMessages::queryMsgByUniqueKey);
        tool("queryMsgByOffset", AdminMessages::queryMsgByOffset);
        tool("queryMsgTraceById", AdminMessages::queryMsgTraceById);
        tool("printMsg", AdminMessages::printMsg);
        tool("printMsgByQueue", AdminMessages::printMsgByQueue);
        tool("sendMsgStatus", AdminMessages::sendMsgStatus);
        tool("checkMsgSendRT", AdminMessages::checkMsgSendRT);
        tool("clusterRT", AdminMessages::clusterRT);
        tool("sendMessage", AdminMessages::sendMessage);
        tool("consumeMessage", AdminMessages::consumeMessage);
        tool("queryCq", AdminMessages::queryCq);
        tool("brokerStatus-counts", AdminMessages::brokerCounts);
    }

    /** What the tools print of one message. */
    private static void shows(String what, String text, SendResult sent, Message m, int times) throws Exception {
        Check.equal(what + ": topic", m.getTopic(), value(what, text, "Topic"));
        Check.equal(what + ": tag", "[" + m.getTags() + "]", value(what, text, "Tags"));
        Check.equal(what + ": keys", "[" + m.getKeys() + "]", value(what, text, "Keys"));
        Check.equal(what + ": queue", Integer.toString(sent.getMessageQueue().getQueueId()), value(what, text, "Queue ID"));
        Check.equal(what + ": offset", Long.toString(sent.getQueueOffset()), value(what, text, "Queue Offset"));
        Check.equal(what + ": times", Integer.toString(times), value(what, text, "Reconsume Times"));
        Check.that(value(what, text, "Born Host").startsWith("127.0.0.1:"), what + ": born host in " + text);
        has(what, text, "UNIQ_KEY=" + sent.getMsgId(), "CLUSTER=", "number=");
        String path = value(what, text, "Message Body Path");
        Check.equal(what + ": body", new String(m.getBody(), "UTF-8"), Files.readString(Path.of(path)));
    }

    /** One message, consumed by one group and not by another; with what the broker answered. */
    private static SendResult consumedBy(Env env, DefaultMQAdminExt admin, Message m, String consumed, String other) throws Exception {
        SendResult sent = env.send(List.of(m)).get(0);
        Env.Inbox box = env.inbox(consumed, m.getTopic(), "*");
        Check.eventually("consumed", () -> box.count() == 1);
        Check.eventually("committed", () -> AdminGroups.committed(admin, consumed, m.getTopic()).containsValue(1L));
        Env.Inbox filtering = env.inbox(other, m.getTopic(), "no-such-tag");
        filtering.awaitQueues(m.getTopic(), 1);
        return sent;
    }

    private static void queryMsgById(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-qid", 1);
        Message m = env.messages(topic, "id", 1).get(0);
        SendResult sent = consumedBy(env, admin, m, env.group("adm-qid"), env.group("adm-qid-other"));
        String tracks = "MessageTrack [consumerGroup=";
        Check.eventually("both groups", () -> mqadmin(env, "queryMsgById", "-t", topic, "-i", sent.getOffsetMsgId()).contains(env.group("adm-qid-other")));
        String text = mqadmin(env, "queryMsgById", "-t", topic, "-i", sent.getOffsetMsgId());
        shows("queryMsgById", text, sent, m, 0);
        Check.equal("offset id", sent.getOffsetMsgId(), value("it", text, "OffsetID"));
        Check.equal("store host", master(broker), value("it", text, "Store Host"));
        has("queryMsgById", text, tracks + env.group("adm-qid") + ", trackType=CONSUMED");
        Check.that(!text.contains(tracks + env.group("adm-qid-other") + ", trackType=CONSUMED,"), "the other group did not want it: " + text);
        fails("no such offset", mqadmin(env, "queryMsgById", "-t", topic, "-i", sent.getOffsetMsgId().substring(0, 16) + "00000000000000FF"), "CODE: ");
    }

    private static void resend(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-resend", 1);
        List<Message> sent = env.messages(topic, "again", 1);
        SendResult result = env.send(sent).get(0);
        has("resend", mqadmin(env, "queryMsgById", "-t", topic, "-i", result.getOffsetMsgId(), "-s", "true"), "prepare resend msg", "SEND_OK", result.getMsgId());
        List<MessageExt> both = env.drainWhen(topic, 2);
        both.forEach(m -> Check.same(sent.get(0), m));
    }

    private static void consumeDirectly(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-direct", 1);
        String group = env.group("adm-direct");
        List<Message> sent = env.messages(topic, "d", 1);
        SendResult result = env.send(sent).get(0);
        Env.Inbox box = env.inbox(group, topic, "*");
        Check.eventually("consumed", () -> box.count() == 1);
        String client = box.consumer.buildMQClientId();
        for (String id : new String[] {result.getOffsetMsgId(), result.getMsgId()}) {
            int before = box.count();
            String command = id.equals(result.getMsgId()) ? "queryMsgByUniqueKey" : "queryMsgById";
            has(command, mqadmin(env, command, "-t", topic, "-i", id, "-g", group, "-d", client), "CR_SUCCESS");
            Check.equal("deliveries", before + 1, box.count());
            Check.same(sent.get(0), box.all().get(before));
        }
        fails("a client that is not there", mqadmin(env, "queryMsgById", "-t", topic, "-i", result.getOffsetMsgId(), "-g", group, "-d", "nobody@1"),
            "CODE: ", "nobody@1");
    }

    private static void queryMsgByKey(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-qkey", 2);
        Message one = new Message(topic, "T", "k-1 common", "one".getBytes());
        Message two = new Message(topic, "T", "k-2 common", "two".getBytes());
        List<SendResult> sent = env.spread(List.of(one, two), 2);
        Check.eventually("both by the common key", () -> {
            String text = mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "common");
            return sent.stream().allMatch(s -> text.contains(s.getMsgId()));
        });
        String text = mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "k-2");
        Check.equal("by its own key", List.of(sent.get(1).getMsgId(), "1", "0"), row("queryMsgByKey", text, sent.get(1).getMsgId()));
        Check.equal("the other", List.of(), rows(text, sent.get(0).getMsgId()));
        Check.equal("at most one", 2L, mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "common", "-m", "1").lines().filter(l -> !l.isBlank()).count());
        Check.that(!mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "no-such-key").contains(sent.get(0).getMsgId()), "found by a key it does not have");
        // Of three with one key, that of the middle by its time.
        List<SendResult> timed = new java.util.ArrayList<>();
        long[] times = new long[3];
        for (int i = 0; i < times.length; i++) {
            timed.addAll(env.send(List.of(new Message(topic, "T", "timed", ("at " + i).getBytes()))));
            String id = timed.get(i).getMsgId();
            Check.eventually("it is indexed", () -> mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "timed").contains(id));
            times[i] = System.currentTimeMillis();
            Thread.sleep(2500);
        }
        // The index knows seconds.
        String middle = mqadmin(env, "queryMsgByKey", "-t", topic, "-k", "timed", "-b", Long.toString(times[0] + 1500), "-e", Long.toString(times[1] + 1000));
        for (int i = 0; i < times.length; i++) {
            Check.equal("the one at " + i + " between the times", i == 1, middle.contains(timed.get(i).getMsgId()));
        }
    }

    private static void queryMsgByUniqueKey(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-quniq", 1);
        Message m = env.messages(topic, "u", 1).get(0);
        SendResult sent = consumedBy(env, admin, m, env.group("adm-quniq"), env.group("adm-quniq-other"));
        Check.eventually("it is indexed", () -> mqadmin(env, "queryMsgByUniqueKey", "-t", topic, "-i", sent.getMsgId()).contains("Keys:"));
        String text = mqadmin(env, "queryMsgByUniqueKey", "-t", topic, "-i", sent.getMsgId());
        shows("queryMsgByUniqueKey", text, sent, m, 0);
        Check.equal("store host", master(broker), value("it", text, "Store Host"));
        has("queryMsgByUniqueKey", text, "MessageTrack [consumerGroup=" + env.group("adm-quniq") + ", trackType=CONSUMED");
        has("queryMsgByUniqueKey -a", mqadmin(env, "queryMsgByUniqueKey", "-t", topic, "-i", sent.getMsgId(), "-a"), sent.getMsgId());
    }

    private static void queryMsgByOffset(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-qoff", 1);
        List<Message> messages = env.messages(topic, "o", 3);
        List<SendResult> sent = env.send(messages);
        env.drainWhen(topic, 3);
        String text = mqadmin(env, "queryMsgByOffset", "-t", topic, "-b", broker.getBrokerName(), "-i", "0", "-o", "2");
        shows("queryMsgByOffset", text, sent.get(2), messages.get(2), 0);
        has("queryMsgByOffset", text, "MIN_OFFSET=0", "MAX_OFFSET=3");
    }

    private static void queryMsgTraceById(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-qtrace", 1);
        DefaultMQProducer traced = env.configure(new DefaultMQProducer("P-traced-" + env.param("scope"), true, null));
        traced.setSendMsgTimeout(20_000);
        traced.start();
        env.closing(traced::shutdown);
        SendResult sent = traced.send(new Message(topic, "T", "traced-key", "t".getBytes()));
        Check.eventually("the trace", () -> {
            String text = mqadmin(env, "queryMsgTraceById", "-i", sent.getMsgId());
            return rows(text, "Pub").stream().anyMatch(row -> row.contains("P-traced-" + env.param("scope")) && row.contains("success"));
        });
    }

    private static void printMsg(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-print", 2);
        List<SendResult> sent = env.spread(env.messages(topic, "p", 6), 2);
        env.drainWhen(topic, 6);
        String text = mqadmin(env, "printMsg", "-t", topic, "-d", "true");
        for (int i = 0; i < 6; i++) {
            String id = "MSGID: " + sent.get(i).getMsgId();
            String line = text.lines().filter(l -> l.startsWith(id)).findFirst().orElseThrow(() -> Check.failure("printMsg lacks " + id + ": " + text));
            has("printMsg", line, "queueId=" + i % 2, "queueOffset=" + i / 2, "BODY: body of p-" + i, "number=" + i);
        }
        String tagged = mqadmin(env, "printMsg", "-t", topic, "-d", "true", "-s", "T1");
        Check.equal("messages with the tag", 2L, tagged.lines().filter(l -> l.startsWith("MSGID: ")).count());
        has("printMsg -s", tagged, "body of p-1", "body of p-4");
        long future = System.currentTimeMillis() + 3_600_000;
        String later = mqadmin(env, "printMsg", "-t", topic, "-b", Long.toString(future));
        Check.equal("messages of the future", 0L, later.lines().filter(l -> l.startsWith("MSGID: ")).count());
    }

    private static void printMsgByQueue(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-print-queue", 2);
        List<SendResult> sent = env.spread(env.messages(topic, "p", 6), 2);
        env.drainWhen(topic, 6);
        String text = mqadmin(env, "printMsgByQueue", "-t", topic, "-a", broker.getBrokerName(), "-i", "1", "-p", "true", "-d", "true");
        List<String> ids = text.lines().filter(l -> l.startsWith("MSGID: ")).map(l -> l.split(" ")[1]).toList();
        Check.equal("messages of queue 1", List.of(sent.get(1).getMsgId(), sent.get(3).getMsgId(), sent.get(5).getMsgId()), ids);
        String tags = mqadmin(env, "printMsgByQueue", "-t", topic, "-a", broker.getBrokerName(), "-i", "0", "-f", "true");
        for (String tag : new String[] {"T0", "T1", "T2"}) {
            Check.equal("count of " + tag, List.of("Tag:", tag, "Count:", "1"), row("printMsgByQueue -f", tags, "Tag:", tag, "Count:"));
        }
    }

    private static void sendMsgStatus(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String text = mqadmin(env, "sendMsgStatus", "-b", broker.getBrokerName(), "-c", "3", "-s", "64");
        List<String> lines = text.lines().filter(l -> l.startsWith("rt=")).toList();
        Check.equal("sends", 3, lines.size());
        for (String line : lines) {
            has("sendMsgStatus", line, "sendStatus=SEND_OK", "topic=" + broker.getBrokerName(), "brokerName=" + broker.getBrokerName());
        }
    }

    private static void checkMsgSendRT(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-rt", 3);
        String text = mqadmin(env, "checkMsgSendRT", "-t", topic, "-a", "6", "-s", "32");
        Check.equal("sends that went well", 6L, rows(text, broker.getBrokerName()).stream().filter(row -> row.get(2).equals("true")).count());
        has("checkMsgSendRT", text, "Avg RT: ");
        env.drainWhen(topic, 6).forEach(m -> Check.equal("size", 32, m.getBody().length));
    }

    /** Measures for ever, so it is interrupted after the first figures. */
    private static void clusterRT(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String[] args = {"clusterRT", "-a", "4", "-s", "32", "-i", "1", "-c", broker.getCluster(), "-n", env.param("ns")};
        String text = ToolCases.mqadmin(args, "\n" + broker.getCluster());
        List<String> row = rows(text, broker.getCluster()).get(0);
        Check.equal("broker", broker.getBrokerName(), row.get(1));
        Check.equal("sends that went well, and not", List.of("4", "0"), row.subList(3, 5));
    }

    private static void sendMessage(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-send", 3);
        String text = mqadmin(env, "sendMessage", "-t", topic, "-p", "hello", "-k", "key-1", "-c", "tag-1");
        List<String> first = row("sendMessage", text, broker.getBrokerName());
        Check.equal("status", "SEND_OK", first.get(2));
        text = mqadmin(env, "sendMessage", "-t", topic, "-p", "there", "-b", broker.getBrokerName(), "-i", "2");
        List<String> second = row("sendMessage -b -i", text, broker.getBrokerName());
        Check.equal("queue and status", List.of("2", "SEND_OK"), second.subList(1, 3));
        for (MessageExt m : env.drainWhen(topic, 2)) {
            boolean one = m.getMsgId().equals(first.get(3));
            Check.equal("id", one ? first.get(3) : second.get(3), m.getMsgId());
            Check.equal("body", one ? "hello" : "there", new String(m.getBody()));
            Check.equal("key", one ? "key-1" : null, m.getKeys());
            Check.equal("tag", one ? "tag-1" : null, m.getTags());
        }
    }

    private static void consumeMessage(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-consume", 2);
        List<SendResult> sent = env.spread(env.messages(topic, "c", 6), 2);
        env.drainWhen(topic, 6);
        String text = mqadmin(env, "consumeMessage", "-t", topic);
        sent.forEach(s -> has("consumeMessage", text, "MSGID: " + s.getMsgId()));
        String one = mqadmin(env, "consumeMessage", "-t", topic, "-b", broker.getBrokerName(), "-i", "1", "-o", "1", "-c", "1");
        has("consumeMessage -o", one, "Consume ok", "MSGID: " + sent.get(3).getMsgId(), "queueOffset=1");
        Check.equal("messages", 1L, one.lines().filter(l -> l.startsWith("MSGID: ")).count());
    }

    /** What stands in the consume queue is the place and the size of the record, and the hash of its tag. */
    private static void queryCq(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-cq", 1);
        String group = env.group("adm-cq");
        env.send(env.messages(topic, "c", 3));
        List<MessageExt> stored = env.drainWhen(topic, 3);
        String text = mqadmin(env, "queryCq", "-t", topic, "-q", "0", "-i", "1", "-c", "2", "-b", master(broker));
        has("queryCq", text, "max: 3, min: 0", "idx: 1", "idx: 2");
        Check.that(!text.contains("idx: 0") && !text.contains("idx: 3"), "queryCq shows more than asked: " + text);
        for (MessageExt m : stored.subList(1, 3)) {
            has("queryCq", text, "physicOffset=" + m.getCommitLogOffset() + ", physicSize=" + m.getStoreSize() + ", tagsCode=" + m.getTags().hashCode() + ",");
        }
        env.inbox(group, topic, "T0 || T2").awaitQueues(topic, 1);
        Check.eventually("the group's subscription", () -> mqadmin(env, "queryCq", "-t", topic, "-q", "0", "-i", "0", "-c", "3", "-b", master(broker), "-g", group)
            .contains("T0 || T2"));
        has("queryCq -g", mqadmin(env, "queryCq", "-t", topic, "-q", "0", "-i", "0", "-c", "3", "-b", master(broker), "-g", group),
            "Subscription data:", "\"expressionType\":\"TAG\"", "Filter data:", "max: 3, min: 0", "idx: 0");
    }

    private static void brokerCounts(Env env, DefaultMQAdminExt admin, BrokerData broker) throws Exception {
        String topic = env.createTopic("adm-counts", 1);
        String before = mqadmin(env, "brokerStatus", "-b", master(broker));
        env.send(env.messages(topic, "c", 5));
        List<MessageExt> stored = env.drainWhen(topic, 5);
        String after = mqadmin(env, "brokerStatus", "-b", master(broker));
        for (String key : new String[] {"msgPutTotalTodayNow", "msgGetTotalTodayNow", "putMessageTimesTotal"}) {
            long more = Long.parseLong(value("it", after, key)) - Long.parseLong(value("it", before, key));
            Check.that(more >= 5, key + " went up by " + more + " with 5 messages sent and received");
        }
        MessageExt last = stored.get(4);
        Check.that(Long.parseLong(value("it", after, "commitLogMaxOffset")) >= last.getCommitLogOffset() + last.getStoreSize(), "end of the log in " + after);
        Check.equal("runtime", "[", value("it", after, "runtime").substring(0, 1));
        Check.that(Double.parseDouble(value("it", after, "commitLogDiskRatio")) > 0, "disk in " + after);
    }
}
