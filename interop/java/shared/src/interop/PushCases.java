package interop;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Push consumers: concurrent, in order, filtered, broadcasting, sharing. */
final class PushCases {
    private PushCases() {
    }

    static void register() {
        Driver.add("push.concurrent", PushCases::concurrent);
        Driver.add("push.orderly", PushCases::orderly);
        Driver.add("push.orderly.suspend", PushCases::suspend);
        Driver.add("push.tags", PushCases::tags);
        Driver.add("push.broadcast", PushCases::broadcast);
        Driver.add("push.share.leave", PushCases::leave);
        Driver.add("push.orderly.share", PushCases::orderlyShare);
        Driver.add("push.restart", PushCases::restart);
        Driver.add("push.first", PushCases::first);
    }

    /** Messages from before and after the start, each exactly once; the offsets end at the queues' ends. */
    private static void concurrent(Env env) throws Exception {
        String topic = env.createTopic("concurrent", 4);
        String group = env.group("concurrent");
        List<Message> sent = env.messages(topic, "before", 100);
        env.spread(sent, 4);
        Env.Inbox box = env.inbox(group, topic, "*");
        box.awaitQueues(topic, 4);
        List<Message> after = env.messages(topic, "after", 100);
        env.spread(after, 4);
        sent.addAll(after);
        box.expect(sent);
        for (MessageExt m : box.all()) {
            Check.that(m.getProperty("MIN_OFFSET") != null && m.getProperty("MAX_OFFSET") != null, "no queue bounds");
        }
        box.consumer.shutdown();
        Check.equal("committed offsets", env.ends(topic), env.committed(group, topic));
    }

    private static void orderly(Env env) throws Exception {
        String topic = env.createTopic("orderly", 4);
        String group = env.group("orderly");
        List<Message> sent = env.messages(topic, "o", 200);
        env.spread(sent.subList(0, 100), 4);
        DefaultMQPushConsumer c = env.push(group);
        Env.Inbox box = new Env.Inbox(c);
        Map<Integer, AtomicInteger> inside = new ConcurrentHashMap<>();
        Set<String> overlaps = ConcurrentHashMap.newKeySet();
        c.subscribe(topic, "*");
        c.registerMessageListener((MessageListenerOrderly) (msgs, context) -> {
            AtomicInteger here = inside.computeIfAbsent(context.getMessageQueue().getQueueId(), q -> new AtomicInteger());
            if (here.incrementAndGet() != 1) {
                overlaps.add("queue " + context.getMessageQueue().getQueueId());
            }
            box.add(msgs);
            here.decrementAndGet();
            return ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        env.spread(sent.subList(100, 200), 4);
        box.expect(sent);
        Check.that(overlaps.isEmpty(), "two listener calls at once for " + overlaps);
        inOrder(box.all());
        c.shutdown();
        Check.equal("committed offsets", env.ends(topic), env.committed(group, topic));
    }

    /** Within each queue offsets count up by one. */
    private static void inOrder(List<MessageExt> got) {
        Map<Integer, Long> next = new TreeMap<>();
        for (MessageExt m : got) {
            Long expected = next.get(m.getQueueId());
            if (expected != null) {
                Check.equal("order in queue " + m.getQueueId(), expected, m.getQueueOffset());
            }
            next.put(m.getQueueId(), m.getQueueOffset() + 1);
        }
    }

    /** A message that asks for a moment holds back those behind it. */
    private static void suspend(Env env) throws Exception {
        String topic = env.createTopic("suspend", 1);
        List<Message> sent = env.messages(topic, "s", 6);
        env.send(sent);
        DefaultMQPushConsumer c = env.push(env.group("suspend"));
        c.setSuspendCurrentQueueTimeMillis(100);
        c.setConsumeMessageBatchMaxSize(1);
        c.subscribe(topic, "*");
        List<String> calls = java.util.Collections.synchronizedList(new ArrayList<>());
        c.registerMessageListener((MessageListenerOrderly) (msgs, context) -> {
            String key = msgs.get(0).getKeys();
            calls.add(key);
            boolean wait = key.equals("s-3") && calls.stream().filter(k -> k.equals("s-3")).count() < 3;
            return wait ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
        });
        c.start();
        List<String> expected = List.of("s-0", "s-1", "s-2", "s-3", "s-3", "s-3", "s-4", "s-5");
        Check.eventually("8 listener calls", () -> calls.size() >= 8);
        Thread.sleep(Env.SILENCE);
        Check.equal("listener calls", expected, new ArrayList<>(calls));
    }

    private static void tags(Env env) throws Exception {
        String topic = env.createTopic("tags", 4);
        List<Message> sent = new ArrayList<>();
        // "Aa" and "BB" have one hash: the broker cannot tell them apart, the client must.
        for (String tag : new String[] {"A", "B", "C", "Aa", "BB", null}) {
            for (int i = 0; i < 10; i++) {
                sent.add(new Message(topic, tag, tag + "-" + i, ("tag " + tag + i).getBytes()));
            }
        }
        java.util.Collections.shuffle(sent, new java.util.Random(1));
        env.spread(sent.subList(0, 30), 4);
        Env.Inbox ab = env.inbox(env.group("tags-ab"), topic, "A || B");
        Env.Inbox all = env.inbox(env.group("tags-all"), topic, "*");
        Env.Inbox one = env.inbox(env.group("tags-one"), topic, "Aa");
        Env.Inbox none = env.inbox(env.group("tags-none"), topic, "nobody");
        for (Env.Inbox box : List.of(ab, all, one, none)) {
            box.awaitQueues(topic, 4);
        }
        env.spread(sent.subList(30, 60), 4);
        all.expect(sent);
        ab.expect(sent.stream().filter(m -> "A".equals(m.getTags()) || "B".equals(m.getTags())).toList());
        one.expect(sent.stream().filter(m -> "Aa".equals(m.getTags())).toList());
        none.expect(List.of());
    }

    private static void broadcast(Env env) throws Exception {
        String topic = env.createTopic("broadcast", 4);
        String group = env.group("broadcast");
        List<Message> sent = env.messages(topic, "b", 40);
        env.spread(sent.subList(0, 20), 4);
        Env.Inbox one = new Env.Inbox(env.push(group));
        Env.Inbox two = new Env.Inbox(env.push(group));
        for (Env.Inbox box : List.of(one, two)) {
            Shim.broadcasting(box.consumer);
            box.consumer.subscribe(topic, "*");
            box.listen();
            box.consumer.start();
        }
        one.awaitQueues(topic, 4);
        two.awaitQueues(topic, 4);
        env.spread(sent.subList(20, 40), 4);
        one.expect(sent);
        two.expect(sent);
    }

    /** Two members split the queues; when one leaves, the other gets all of them and goes on at the committed offsets. */
    private static void leave(Env env) throws Exception {
        String topic = env.createTopic("leave", 8);
        String group = env.group("leave");
        Env.Inbox stays = env.inbox(group, topic, "*");
        stays.awaitQueues(topic, 8);
        Env.Inbox leaves = env.inbox(group, topic, "*");
        stays.awaitQueues(topic, 4);
        leaves.awaitQueues(topic, 4);
        List<Message> shared = env.messages(topic, "shared", 80);
        env.spread(shared, 8);
        Check.eventually("80 messages by both", () -> stays.count() + leaves.count() >= 80);
        Thread.sleep(Env.SILENCE);
        List<MessageExt> both = stays.all();
        both.addAll(leaves.all());
        Check.exactly(shared, both);
        Check.equal("share of the one that stays", 40, stays.count());
        Set<Integer> overlap = new HashSet<>(stays.all().stream().map(MessageExt::getQueueId).toList());
        overlap.retainAll(leaves.all().stream().map(MessageExt::getQueueId).toList());
        Check.that(overlap.isEmpty(), "both consumed from queues " + overlap);
        leaves.consumer.shutdown();
        stays.awaitQueues(topic, 8);
        stays.clear();
        List<Message> alone = env.messages(topic, "alone", 80);
        env.spread(alone, 8);
        stays.expect(alone);
    }

    /** In order across a change of hands: the queue locks move from the member that leaves to the one that stays. */
    private static void orderlyShare(Env env) throws Exception {
        String topic = env.createTopic("oshare", 4);
        String group = env.group("oshare");
        List<Env.Inbox> members = new ArrayList<>();
        List<MessageExt> calls = java.util.Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < 2; i++) {
            Env.Inbox box = new Env.Inbox(env.push(group));
            box.consumer.subscribe(topic, "*");
            box.consumer.registerMessageListener((MessageListenerOrderly) (msgs, context) -> {
                calls.addAll(msgs);
                box.add(msgs);
                return ConsumeOrderlyStatus.SUCCESS;
            });
            box.consumer.start();
            members.add(box);
        }
        members.get(0).awaitQueues(topic, 2);
        members.get(1).awaitQueues(topic, 2);
        List<Message> sent = env.messages(topic, "m", 80);
        env.spread(sent.subList(0, 40), 4);
        Check.eventually("40 messages by both", () -> calls.size() >= 40);
        Check.equal("share of each", 20, members.get(0).count());
        members.get(1).consumer.shutdown();
        members.get(0).awaitQueues(topic, 4);
        env.spread(sent.subList(40, 80), 4);
        Check.eventually("80 messages", () -> calls.size() >= 80);
        Thread.sleep(Env.SILENCE);
        List<MessageExt> all = new ArrayList<>(calls);
        Check.exactly(sent, all);
        inOrder(all);
    }

    /** The group's next consumer goes on where the last one stopped. */
    private static void restart(Env env) throws Exception {
        String topic = env.createTopic("restart", 4);
        String group = env.group("restart");
        List<Message> before = env.messages(topic, "before", 40);
        env.spread(before, 4);
        Env.Inbox old = env.inbox(group, topic, "*");
        old.expect(before);
        old.consumer.shutdown();
        List<Message> missed = env.messages(topic, "missed", 40);
        env.spread(missed, 4);
        Env.Inbox fresh = env.inbox(group, topic, "*");
        fresh.expect(missed);
    }

    /** A new group that starts at the first message gets the old ones; the second group as well. */
    private static void first(Env env) throws Exception {
        String topic = env.createTopic("first", 4);
        List<Message> sent = env.messages(topic, "f", 40);
        env.spread(sent, 4);
        env.inbox(env.group("first-1"), topic, "*").expect(sent);
        env.inbox(env.group("first-2"), topic, "*").expect(sent);
    }
}
