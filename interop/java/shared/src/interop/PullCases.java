package interop;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Pull and lite-pull consumers. */
final class PullCases {
    private PullCases() {
    }

    static void register() {
        Driver.add("pull.offsets", PullCases::offsets);
        Driver.add("pull.statuses", PullCases::statuses);
        Driver.add("pull.block", PullCases::block);
        Driver.add("lite.subscribe", PullCases::subscribe);
        Driver.add("lite.assign", PullCases::assign);
        Driver.add("lite.tags", PullCases::tags);
    }

    private static MessageQueue only(DefaultMQPullConsumer c, String topic) throws MQClientException {
        Collection<MessageQueue> all = c.fetchSubscribeMessageQueues(topic);
        Check.equal("queues", 1, all.size());
        return all.iterator().next();
    }

    /** Bounds, search by time, consumer offsets. */
    private static void offsets(Env env) throws Exception {
        String topic = env.createTopic("pulloff", 1);
        String group = env.group("pulloff");
        DefaultMQPullConsumer c = env.pull(group);
        MessageQueue mq = only(c, topic);
        Check.equal("end of an empty queue", 0L, c.maxOffset(mq));
        Check.equal("start of an empty queue", 0L, c.minOffset(mq));
        List<Message> sent = env.messages(topic, "p", 10);
        env.send(sent.subList(0, 5));
        Thread.sleep(50);
        long between = System.currentTimeMillis();
        Thread.sleep(50);
        env.send(sent.subList(5, 10));
        List<MessageExt> got = env.drainWhen(topic, 10);
        Check.exactly(sent, got);
        Check.equal("end", 10L, c.maxOffset(mq));
        Check.equal("start", 0L, c.minOffset(mq));
        Check.equal("offset by time", 5L, c.searchOffset(mq, between));
        Check.equal("offset by a time before all", 0L, c.searchOffset(mq, 1000));
        Check.equal("first store time", got.get(0).getStoreTimestamp(), c.earliestMsgStoreTime(mq));
        DefaultMQPullConsumer reader = env.pull(group);
        Check.eventually("committed offset 7", () -> {
            c.updateConsumeOffset(mq, 7);
            c.getOffsetStore().persist(mq);
            return reader.fetchConsumeOffset(mq, true) == 7;
        });
    }

    /** Each answer of a pull. */
    private static void statuses(Env env) throws Exception {
        String topic = env.createTopic("pullst", 1);
        DefaultMQPullConsumer c = env.pull(env.group("pullst"));
        MessageQueue mq = only(c, topic);
        Check.equal("pull from an empty queue", PullStatus.NO_NEW_MSG, c.pull(mq, "*", 0, 32).getPullStatus());
        List<Message> sent = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            sent.add(new Message(topic, i % 2 == 0 ? "even" : "odd", "k" + i, ("body " + i).getBytes()));
        }
        env.send(sent);
        env.drainWhen(topic, 40);
        PullResult some = c.pull(mq, "*", 3, 10);
        Check.equal("status", PullStatus.FOUND, some.getPullStatus());
        Check.equal("messages from 3 on", Check.keys(sent.subList(3, 13)), Check.keys(some.getMsgFoundList()));
        Check.equal("next", 13L, some.getNextBeginOffset());
        Check.equal("min", 0L, some.getMinOffset());
        Check.equal("max", 40L, some.getMaxOffset());
        PullResult odd = c.pull(mq, "odd", 0, 5);
        Check.equal("odd ones", List.of("k1", "k3", "k5", "k7", "k9"), Check.keys(odd.getMsgFoundList()));
        Check.equal("next after odd ones", 10L, odd.getNextBeginOffset());
        PullResult none = c.pull(mq, "nobody", 0, 32);
        Check.equal("nothing matches", PullStatus.NO_MATCHED_MSG, none.getPullStatus());
        Check.equal("next when nothing matches", 40L, none.getNextBeginOffset());
        PullResult end = c.pull(mq, "*", 40, 32);
        Check.equal("at the end", PullStatus.NO_NEW_MSG, end.getPullStatus());
        Check.equal("next at the end", 40L, end.getNextBeginOffset());
        PullResult beyond = c.pull(mq, "*", 1000, 32);
        Check.equal("beyond the end", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
        Check.equal("correction beyond the end", 40L, beyond.getNextBeginOffset());
        try {
            c.fetchSubscribeMessageQueues(env.topic("nowhere"));
            throw Check.failure("a topic that does not exist has queues");
        } catch (MQClientException e) {
            Check.that(!e.getMessage().isEmpty(), "no reason given");
        }
    }

    /** A pull that waits is answered by the message that arrives. */
    private static void block(Env env) throws Exception {
        String topic = env.createTopic("pullblock", 1);
        DefaultMQPullConsumer c = env.pull(env.group("pullblock"));
        MessageQueue mq = only(c, topic);
        CompletableFuture<PullResult> answer = CompletableFuture.supplyAsync(() -> {
            try {
                return c.pullBlockIfNotFound(mq, "*", 0, 32);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        Thread.sleep(500);
        Check.that(!answer.isDone(), "a blocking pull of nothing returned at once");
        List<Message> sent = env.messages(topic, "late", 1);
        env.send(sent);
        PullResult r = answer.get(Env.PATIENCE, TimeUnit.MILLISECONDS);
        Check.equal("status", PullStatus.FOUND, r.getPullStatus());
        Check.exactly(sent, r.getMsgFoundList());
    }

    /** Polls until as many messages came as expected, and then nothing more. */
    private static List<MessageExt> poll(DefaultLitePullConsumer c, int count) throws Exception {
        List<MessageExt> got = new ArrayList<>();
        Check.eventually(count + " messages polled", () -> {
            got.addAll(c.poll(200));
            return got.size() >= count;
        });
        got.addAll(c.poll(Env.SILENCE));
        return got;
    }

    private static void subscribe(Env env) throws Exception {
        String topic = env.createTopic("litesub", 4);
        String group = env.group("litesub");
        List<Message> sent = env.messages(topic, "before", 60);
        env.spread(sent.subList(0, 30), 4);
        DefaultLitePullConsumer c = env.lite(group);
        c.setAutoCommit(false);
        c.subscribe(topic, "*");
        c.start();
        Check.exactly(sent.subList(0, 30), poll(c, 30));
        env.spread(sent.subList(30, 60), 4);
        Check.exactly(sent.subList(30, 60), poll(c, 30));
        c.commitSync();
        c.getOffsetStore().persistAll(new java.util.HashSet<>(c.assignment()));
        c.shutdown();
        Check.equal("committed offsets", env.ends(topic), env.committed(group, topic));
        List<Message> later = env.messages(topic, "later", 10);
        env.spread(later, 4);
        DefaultLitePullConsumer next = env.lite(group);
        next.subscribe(topic, "*");
        next.start();
        Check.exactly(later, poll(next, 10));
        next.shutdown();
    }

    private static void assign(Env env) throws Exception {
        String topic = env.createTopic("liteassign", 4);
        List<Message> sent = env.messages(topic, "a", 40);
        env.spread(sent, 4);
        DefaultLitePullConsumer c = env.lite(env.group("liteassign"));
        c.setAutoCommit(false);
        c.start();
        List<MessageQueue> mine = c.fetchMessageQueues(topic).stream().filter(q -> q.getQueueId() < 2).toList();
        Check.equal("queues 0 and 1", 2, mine.size());
        c.assign(mine);
        List<Message> ofMine = sent.stream().filter(m -> Integer.parseInt(m.getUserProperty("number")) % 4 < 2).toList();
        Check.exactly(ofMine, poll(c, 20));
        MessageQueue zero = mine.stream().filter(q -> q.getQueueId() == 0).findFirst().orElseThrow();
        c.seek(zero, 7);
        Check.equal("from offset 7 of queue 0", List.of("a-28", "a-32", "a-36"), Check.keys(poll(c, 3)));
        c.seekToBegin(zero);
        Check.equal("from the beginning of queue 0", 10, poll(c, 10).size());
        c.seekToEnd(zero);
        Check.equal("from the end of queue 0", 0, c.poll(Env.SILENCE).size());
        Check.that(c.offsetForTimestamp(zero, 1000L) == 0L, "offset by time");
        c.pause(List.of(zero));
        c.seekToBegin(zero);
        Check.equal("while paused", 0, c.poll(Env.SILENCE).size());
        c.resume(List.of(zero));
        Check.equal("resumed", 10, poll(c, 10).size());
    }

    private static void tags(Env env) throws Exception {
        String topic = env.createTopic("litetags", 2);
        List<Message> sent = env.messages(topic, "t", 30);
        env.spread(sent, 2);
        DefaultLitePullConsumer c = env.lite(env.group("litetags"));
        c.subscribe(topic, "T0 || T2");
        c.start();
        List<Message> wanted = sent.stream().filter(m -> !m.getTags().equals("T1")).toList();
        Check.exactly(wanted, poll(c, wanted.size()));
    }
}
