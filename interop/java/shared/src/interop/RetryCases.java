package interop;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Failing listeners, dead letters, delay levels. The brokers run with levels of 1 s, the second one 2 s. */
final class RetryCases {
    private RetryCases() {
    }

    static void register() {
        Driver.add("retry.success", RetryCases::success);
        Driver.add("retry.levels", RetryCases::levels);
        Driver.add("retry.dlq", RetryCases::deadLetter);
        Driver.add("retry.dlq.now", RetryCases::deadLetterNow);
        Driver.add("retry.dlq.orderly", RetryCases::deadLetterOrderly);
        Driver.add("retry.sendback", RetryCases::sendBack);
        Driver.add("delay.levels", RetryCases::delay);
    }

    private static List<MessageExt> synced() {
        return Collections.synchronizedList(new ArrayList<>());
    }

    /** Two of five fail, one twice by the usual level and one once with a level of its own; then they succeed. */
    private static void success(Env env) throws Exception {
        String topic = env.createTopic("retry", 2);
        String group = env.group("retry");
        List<Message> sent = env.messages(topic, "r", 5);
        List<SendResult> results = env.send(sent);
        DefaultMQPushConsumer c = env.push(group);
        List<MessageExt> calls = synced();
        Map<String, List<Integer>> times = new TreeMap<>();
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            MessageExt m = msgs.get(0);
            calls.add(m);
            int tries;
            synchronized (times) {
                List<Integer> seen = times.computeIfAbsent(m.getKeys(), k -> new ArrayList<>());
                seen.add(m.getReconsumeTimes());
                tries = seen.size();
            }
            if (m.getKeys().equals("r-2") && tries < 3) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            if (m.getKeys().equals("r-4") && tries < 2) {
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        Check.eventually("8 listener calls", () -> calls.size() >= 8);
        Thread.sleep(Env.SILENCE);
        Check.equal("reconsume times by key", "{r-0=[0], r-1=[0], r-2=[0, 1, 2], r-3=[0], r-4=[0, 1]}", times.toString());
        for (MessageExt m : new ArrayList<>(calls)) {
            int i = Integer.parseInt(m.getKeys().substring(2));
            Check.same(sent.get(i), m);
            Check.equal("unique id of a retry", results.get(i).getMsgId(), m.getMsgId());
            if (m.getReconsumeTimes() > 0) {
                Check.equal("origin id", results.get(i).getOffsetMsgId(), m.getProperty("ORIGIN_MESSAGE_ID"));
            }
        }
        c.shutdown();
        Check.equal("committed offsets", env.ends(topic), env.committed(group, topic));
        String retry = "%RETRY%" + group;
        Check.equal("committed offsets of the retry topic", env.ends(retry), env.committed(group, retry));
        Check.equal("messages that went through the retry topic", 3, env.drainAll(retry).size());
    }

    /** Fails three times: by the third, the fourth and the fifth level, which without other settings are 10 s, 30 s and 1 min. */
    private static void levels(Env env) throws Exception {
        String topic = env.createTopic("levels", 1);
        String group = env.group("levels");
        List<Message> sent = env.messages(topic, "l", 1);
        env.send(sent);
        DefaultMQPushConsumer c = env.push(group);
        List<Integer> times = Collections.synchronizedList(new ArrayList<>());
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            times.add(msgs.get(0).getReconsumeTimes());
            return times.size() < 4 ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        Check.eventually("4 listener calls", () -> times.size() >= 4);
        c.shutdown();
        Check.equal("reconsume times", List.of(0, 1, 2, 3), new ArrayList<>(times));
        List<MessageExt> stored = env.drainWhen("%RETRY%" + group, 3);
        Check.equal("delay levels", List.of("3", "4", "5"), stored.stream().map(m -> m.getProperty("DELAY")).toList());
        for (int i = 0; i < stored.size(); i++) {
            Check.sameBut("retried", sent.get(0), stored.get(i));
            // These servers' third to fifth levels are a second each.
            long before = i == 0 ? stored.get(0).getBornTimestamp() : stored.get(i - 1).getStoreTimestamp();
            Check.that(stored.get(i).getStoreTimestamp() >= before + 1000, "came back before its delay");
        }
    }

    /** What must hold of a message in the dead-letter topic. */
    private static MessageExt dead(Env env, String group, Message sent, SendResult result) throws Exception {
        MessageExt m = env.drainWhen("%DLQ%" + group, 1).get(0);
        Check.sameBut("dead letter", sent, m);
        Check.equal("retry topic", sent.getTopic(), m.getProperty("RETRY_TOPIC"));
        Check.equal("unique id of a dead letter", result.getMsgId(), m.getMsgId());
        Check.equal("queue", 0, m.getQueueId());
        return m;
    }

    /** Fails always: three calls with a limit of two retries, then the dead-letter topic. */
    private static void deadLetter(Env env) throws Exception {
        String topic = env.createTopic("dlq", 1);
        String group = env.group("dlq");
        List<Message> sent = env.messages(topic, "d", 3);
        List<SendResult> results = env.send(sent);
        DefaultMQPushConsumer c = env.push(group);
        c.setMaxReconsumeTimes(2);
        List<MessageExt> calls = synced();
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            calls.addAll(msgs);
            return msgs.get(0).getKeys().equals("d-1")
                ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        c.start();
        Check.eventually("a dead letter", () -> env.drainAll("%DLQ%" + group).size() == 1);
        Thread.sleep(Env.SILENCE);
        Check.equal("reconsume times seen", List.of(0, 1, 2), calls.stream()
            .filter(m -> m.getKeys().equals("d-1")).map(MessageExt::getReconsumeTimes).toList());
        Check.equal("listener calls", 5, calls.size());
        MessageExt m = dead(env, group, sent.get(1), results.get(1));
        Check.equal("reconsume times of the dead letter", 3, m.getReconsumeTimes());
        Check.equal("origin id", results.get(1).getOffsetMsgId(), m.getProperty("ORIGIN_MESSAGE_ID"));
    }

    /** A listener that asks for level -1 sends the message to the dead letters at once. */
    private static void deadLetterNow(Env env) throws Exception {
        String topic = env.createTopic("dlqnow", 1);
        String group = env.group("dlqnow");
        List<Message> sent = env.messages(topic, "d", 1);
        List<SendResult> results = env.send(sent);
        DefaultMQPushConsumer c = env.push(group);
        List<MessageExt> calls = synced();
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            calls.addAll(msgs);
            context.setDelayLevelWhenNextConsume(-1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        c.start();
        Check.eventually("a dead letter", () -> env.drainAll("%DLQ%" + group).size() == 1);
        Thread.sleep(Env.SILENCE);
        Check.equal("listener calls", 1, calls.size());
        dead(env, group, sent.get(0), results.get(0));
    }

    /** An ordered consumer tries in place and then sends to the retry topic itself; the broker makes it a dead letter. */
    private static void deadLetterOrderly(Env env) throws Exception {
        String topic = env.createTopic("dlqorder", 1);
        String group = env.group("dlqorder");
        List<Message> sent = env.messages(topic, "d", 3);
        List<SendResult> results = env.send(sent);
        DefaultMQPushConsumer c = env.push(group);
        c.setMaxReconsumeTimes(1);
        c.setSuspendCurrentQueueTimeMillis(100);
        List<String> calls = Collections.synchronizedList(new ArrayList<>());
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerOrderly) (msgs, context) -> {
            calls.add(msgs.get(0).getKeys());
            return msgs.get(0).getKeys().equals("d-1")
                ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        Check.eventually("a dead letter", () -> env.drainAll("%DLQ%" + group).size() == 1);
        Thread.sleep(Env.SILENCE);
        Check.equal("listener calls", List.of("d-0", "d-1", "d-1", "d-2"), new ArrayList<>(calls));
        MessageExt m = env.drainWhen("%DLQ%" + group, 1).get(0);
        Check.sameBut("dead letter", sent.get(1), m);
        Check.equal("retry topic", topic, m.getProperty("RETRY_TOPIC"));
        Check.that(results.get(1).getMsgId() != null, "no id");
    }

    /** A pull consumer gives a message back with a level of its own; the group's push consumer gets it once more. */
    private static void sendBack(Env env) throws Exception {
        String topic = env.createTopic("sendback", 1);
        String group = env.group("sendback");
        List<Message> sent = env.messages(topic, "s", 2);
        env.send(sent);
        Env.Inbox box = env.inbox(group, topic, "*");
        box.expect(sent);
        MessageExt second = env.drain(topic).get(0).get(1);
        DefaultMQPullConsumer c = env.pull(env.group("sendback-pull"));
        box.clear();
        // No broker name: then the client goes to the store host of the message.
        c.sendMessageBack(second, 1, null, group);
        box.expect(sent.subList(1, 2));
        Check.equal("reconsume times", 1, box.all().get(0).getReconsumeTimes());
        MessageExt stored = env.drainWhen("%RETRY%" + group, 1).get(0);
        Check.sameBut("given back", sent.get(1), stored);
        Check.equal("retry topic", topic, stored.getProperty("RETRY_TOPIC"));
        // The client's own way round a broker that refuses would use level 3.
        Check.equal("delay level", "1", stored.getProperty("DELAY"));
        Check.that(stored.getStoreTimestamp() >= second.getStoreTimestamp() + 1000, "came back before its delay");
    }

    /** Levels delay by at least their time; the largest one stands in for larger ones; content stays. */
    private static void delay(Env env) throws Exception {
        String topic = env.createTopic("delay", 2);
        int[] levels = {0, 1, 2, 5, 18, 22};
        List<Message> sent = env.messages(topic, "d", levels.length);
        for (int i = 0; i < levels.length; i++) {
            sent.get(i).setDelayTimeLevel(levels[i]);
        }
        Env.Inbox box = env.inbox(env.group("delay"), topic, "*");
        box.awaitQueues(topic, 2);
        env.send(sent);
        box.expect(sent);
        for (MessageExt m : box.all()) {
            int level = levels[Integer.parseInt(m.getKeys().substring(2))];
            long least = level == 0 ? 0 : level == 2 ? 2000 : 1000;
            long took = m.getStoreTimestamp() - m.getBornTimestamp();
            Check.that(took >= least, "level " + level + " delivered after " + took + " ms");
            if (level > 0) {
                Check.equal("real topic", topic, m.getProperty("REAL_TOPIC"));
            }
        }
    }
}
