package interop;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.route.QueueData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * A store's content, taken down from the broker that wrote it and asked for again from another broker that opened it.
 * The store is written with a level 18 of hours, and opened with one of a second: what waits there is delivered then.
 */
final class StoreCases {
    private static final Set<String> SYSTEM = new HashSet<>(Arrays.asList("TBW102", "SELF_TEST_TOPIC", "BenchmarkTest",
        "OFFSET_MOVED_EVENT", "DefaultHeartBeatSyncerTopic", "TRANS_CHECK_MAX_TIME_TOPIC"));
    private static final String SCHEDULE = "SCHEDULE_TOPIC_XXXX";

    private StoreCases() {
    }

    /** What lay in the store. */
    private static final class Snapshot {
        final Map<MessageQueue, List<MessageExt>> queues = new HashMap<>();
        final Map<String, Map<Integer, Long>> committed = new TreeMap<>();
    }

    static void register() {
        Driver.add("store.write", StoreCases::write);
        Driver.add("store.snapshot", StoreCases::snapshot);
        Driver.add("store.verify", StoreCases::verify);
        Driver.add("store.index", StoreCases::index);
        Driver.add("store.goes.on", StoreCases::goesOn);
    }

    /** Bodies large and small, batches, compression, retries, a dead letter, delays that passed and that wait, offsets. */
    private static void write(Env env) throws Exception {
        String topic = env.createTopic("store", 4);
        List<Message> sent = env.messages(topic, "plain", 40);
        Random random = new Random(11);
        for (int i = 0; i < 300; i++) {
            byte[] body = new byte[1 + random.nextInt(16 << 10)];
            random.nextBytes(body);
            Message m = new Message(topic, i % 2 == 0 ? "even" : "ungerade-ü", "large-" + i, body);
            m.setFlag(i);
            m.putUserProperty("ключ", "значение " + i);
            sent.add(m);
        }
        List<SendResult> results = env.spread(sent, 4);
        env.keep("results", results);
        List<Message> batch = env.messages(topic, "batch", 10);
        env.producer().send(batch);
        DefaultMQProducer zip = env.newProducer("P-" + topic);
        zip.setCompressMsgBodyOverHowmuch(1000);
        zip.start();
        env.closing(zip::shutdown);
        byte[] text = "again and again ".repeat(1000).getBytes();
        Message packed = new Message(topic, "z", "packed", text.clone());
        zip.send(packed);
        packed.setBody(text);
        sent.addAll(batch);
        sent.add(packed);
        Check.exactly(sent, env.drainWhen(topic, sent.size()));

        // One group has read a part, so the other part is still its own.
        Env.Inbox part = env.inbox(env.group("part"), topic, "*");
        part.expect(sent);
        part.consumer.shutdown();
        List<Message> rest = env.messages(topic, "rest", 20);
        env.spread(rest, 4);
        env.keep("rest", rest);

        failing(env);
        waiting(env);
    }

    /** Retries and dead letters of a group that then stops. */
    private static void failing(Env env) throws Exception {
        String topic = env.createTopic("fails", 2);
        String group = env.group("fails");
        env.send(env.messages(topic, "f", 6));
        DefaultMQPushConsumer c = env.push(group);
        c.setMaxReconsumeTimes(1);
        List<String> calls = Collections.synchronizedList(new ArrayList<>());
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            calls.add(msgs.get(0).getKeys());
            boolean bad = Set.of("f-1", "f-4").contains(msgs.get(0).getKeys());
            return bad ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        Check.eventually("two dead letters", () -> env.drainAll("%DLQ%" + group).size() == 2);
        Check.equal("listener calls", 8, calls.size());
        c.shutdown();
        Check.equal("committed", env.ends("%RETRY%" + group), env.committed(group, "%RETRY%" + group));
    }

    private static void waiting(Env env) throws Exception {
        String topic = env.createTopic("waits", 2);
        List<Message> sent = env.messages(topic, "w", 8);
        for (int i = 0; i < 8; i++) {
            sent.get(i).setDelayTimeLevel(i < 4 ? 1 : 18);
        }
        env.send(sent);
        List<MessageExt> passed = env.drainWhen(topic, 4);
        Check.exactly(sent.subList(0, 4), passed);
        env.keep("waiting", sent.subList(4, 8));
    }

    private static boolean system(String topic, DefaultMQAdminExt admin) throws Exception {
        return SYSTEM.contains(topic) || topic.toUpperCase().startsWith("RMQ_SYS_") || topic.endsWith("_REPLY_TOPIC")
            || admin.examineBrokerClusterInfo().getClusterAddrTable().containsKey(topic)
            || admin.examineBrokerClusterInfo().getBrokerAddrTable().containsKey(topic);
    }

    /** Every queue of every topic, and the offsets of the groups that the writing step left. */
    private static void snapshot(Env env) throws Exception {
        DefaultMQAdminExt admin = ToolCases.admin(env);
        Snapshot s = new Snapshot();
        Set<String> topics = new HashSet<>(admin.fetchAllTopicList().getTopicList());
        for (String name : List.of("store", "fails", "waits")) {
            Check.that(topics.contains(env.topic(name)), "topic list lacks " + env.topic(name));
        }
        topics.add(SCHEDULE);
        for (String topic : topics) {
            if (system(topic, admin)) {
                continue;
            }
            for (QueueData q : admin.examineTopicRouteInfo(topic).getQueueDatas()) {
                for (int id = 0; id < q.getReadQueueNums(); id++) {
                    MessageQueue mq = new MessageQueue(topic, q.getBrokerName(), id);
                    s.queues.put(mq, env.drain(mq));
                }
            }
        }
        Check.that(pending(s).size() >= 4, "only " + pending(s).size() + " messages wait in level 18");
        String fails = env.group("fails");
        s.committed.put(env.group("part") + " " + env.topic("store"), env.committed(env.group("part"), env.topic("store")));
        s.committed.put(fails + " " + env.topic("fails"), env.committed(fails, env.topic("fails")));
        s.committed.put(fails + " %RETRY%" + fails, env.committed(fails, "%RETRY%" + fails));
        env.keep("snapshot", s);
    }

    /** What waits for level 18, by unique id: the topic that it belongs to. */
    private static Map<String, String> pending(Snapshot s) {
        Map<String, String> pending = new HashMap<>();
        s.queues.forEach((mq, messages) -> {
            if (mq.getTopic().equals(SCHEDULE) && mq.getQueueId() == 17) {
                messages.forEach(m -> pending.put(m.getMsgId(), m.getProperty("REAL_TOPIC")));
            }
        });
        return pending;
    }

    /** The other broker serves the same messages; those that waited are delivered once each; offsets are the same. */
    private static void verify(Env env) throws Exception {
        Snapshot s = env.kept("snapshot");
        Map<String, String> waiting = pending(s);
        Map<String, Integer> delivered = new TreeMap<>();
        Check.eventually("delivery of what waited", () -> {
            int more = 0;
            for (Map.Entry<MessageQueue, List<MessageExt>> e : s.queues.entrySet()) {
                if (!e.getKey().getTopic().equals(SCHEDULE)) {
                    more += (int) (env.ends(e.getKey().getTopic()).get(e.getKey().getQueueId()) - end(e.getValue()));
                }
            }
            return more >= waiting.size();
        });
        Thread.sleep(Env.SILENCE);
        int compared = 0;
        for (Map.Entry<MessageQueue, List<MessageExt>> e : s.queues.entrySet()) {
            List<MessageExt> now = env.drain(e.getKey());
            List<MessageExt> then = e.getValue();
            Check.that(now.size() >= then.size(), e.getKey() + " had " + then.size() + " messages, now " + now.size());
            for (int i = 0; i < then.size(); i++, compared++) {
                identical(e.getKey() + " at " + then.get(i).getQueueOffset(), then.get(i), now.get(i));
            }
            for (MessageExt m : now.subList(then.size(), now.size())) {
                Check.equal("topic of " + m.getMsgId() + " that was not there before", waiting.get(m.getMsgId()), m.getTopic());
                delivered.merge(m.getMsgId(), 1, Integer::sum);
            }
        }
        Check.that(compared > 400, "only " + compared + " messages compared");
        Check.equal("delivered after waiting", waiting.keySet(), delivered.keySet());
        Check.that(delivered.values().stream().allMatch(n -> n == 1), "delivered more than once: " + delivered);
        for (Map.Entry<String, Map<Integer, Long>> e : s.committed.entrySet()) {
            String[] groupTopic = e.getKey().split(" ");
            Check.equal("committed offsets of " + e.getKey(), e.getValue(), env.committed(groupTopic[0], groupTopic[1]));
        }
    }

    private static long end(List<MessageExt> messages) {
        return messages.isEmpty() ? 0 : messages.get(messages.size() - 1).getQueueOffset() + 1;
    }

    private static Map<String, String> properties(MessageExt m) {
        Map<String, String> p = new HashMap<>(m.getProperties());
        p.remove("MIN_OFFSET");
        p.remove("MAX_OFFSET");
        return p;
    }

    /** Every stored field, byte for byte where the client shows it. */
    private static void identical(String where, MessageExt then, MessageExt now) {
        Check.equal(where + ": queue offset", then.getQueueOffset(), now.getQueueOffset());
        Check.equal(where + ": commit log offset", then.getCommitLogOffset(), now.getCommitLogOffset());
        Check.equal(where + ": store size", then.getStoreSize(), now.getStoreSize());
        Check.equal(where + ": offset id", ((MessageClientExt) then).getOffsetMsgId(), ((MessageClientExt) now).getOffsetMsgId());
        Check.equal(where + ": unique id", then.getMsgId(), now.getMsgId());
        Check.equal(where + ": topic", then.getTopic(), now.getTopic());
        Check.equal(where + ": flag", then.getFlag(), now.getFlag());
        Check.equal(where + ": sysFlag", then.getSysFlag(), now.getSysFlag());
        Check.equal(where + ": body CRC", then.getBodyCRC(), now.getBodyCRC());
        Check.that(Arrays.equals(then.getBody(), now.getBody()), where + ": body differs");
        Check.equal(where + ": born", then.getBornTimestamp(), now.getBornTimestamp());
        Check.equal(where + ": born host", then.getBornHost(), now.getBornHost());
        Check.equal(where + ": stored", then.getStoreTimestamp(), now.getStoreTimestamp());
        Check.equal(where + ": store host", then.getStoreHost(), now.getStoreHost());
        Check.equal(where + ": reconsume times", then.getReconsumeTimes(), now.getReconsumeTimes());
        Check.equal(where + ": prepared offset", then.getPreparedTransactionOffset(), now.getPreparedTransactionOffset());
        Check.equal(where + ": properties", properties(then), properties(now));
    }

    /** Keys and unique ids are found in the other broker. */
    private static void index(Env env) throws Exception {
        String topic = env.topic("store");
        List<SendResult> results = env.kept("results");
        for (int i = 0; i < results.size(); i += 17) {
            String key = i < 40 ? "plain-" + i : "large-" + (i - 40);
            String id = results.get(i).getMsgId();
            Check.eventually("index of " + key, () -> found(env, topic, key).equals(List.of(id)));
            Check.eventually("index of " + id, () -> env.producer().viewMessage(topic, id) != null);
            Check.equal("message by unique id", key, env.producer().viewMessage(topic, id).getKeys());
        }
    }

    private static List<String> found(Env env, String topic, String key) throws Exception {
        long now = System.currentTimeMillis();
        return env.producer().queryMessage(topic, key, 10, now - 3_600_000, now + 3_600_000).getMessageList().stream()
            .map(MessageExt::getMsgId).toList();
    }

    /** The group that had read a part gets the rest, then what is sent to the broker that opened the store. */
    private static void goesOn(Env env) throws Exception {
        String topic = env.topic("store");
        Env.Inbox box = env.inbox(env.group("part"), topic, "*");
        List<Message> expected = new ArrayList<>(env.<List<Message>>kept("rest"));
        box.awaitQueues(topic, 4);
        List<Message> fresh = env.messages(topic, "fresh", 8);
        env.spread(fresh, 4);
        expected.addAll(fresh);
        box.expect(expected);
    }
}
