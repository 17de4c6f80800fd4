package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Ways to send; what lies in the queues afterwards is pulled and compared. */
final class SendCases {
    private SendCases() {
    }

    static void register() {
        Driver.add("send.sync", SendCases::sync);
        Driver.add("send.async", SendCases::async);
        Driver.add("send.oneway", SendCases::oneway);
        Driver.add("send.batch", SendCases::batch);
        Driver.add("send.queue", SendCases::queue);
        Driver.add("send.unicode", SendCases::unicode);
        Driver.add("send.big", SendCases::big);
        Driver.add("send.zlib", env -> compressed(env, "ZLIB", 0x300));
        Driver.add("send.lz4", env -> compressed(env, "LZ4", 0x100));
        Driver.add("send.zstd", env -> compressed(env, "ZSTD", 0x200));
        Driver.add("send.vip", SendCases::vip);
        Driver.add("send.oversize", SendCases::oversize);
    }

    /** The message at the place the producer was told, with the ids it was told. */
    private static void stored(Env env, List<? extends Message> sent, List<SendResult> results) throws Exception {
        env.drainWhen(sent.get(0).getTopic(), sent.size());
        Map<Integer, List<MessageExt>> all = env.drain(sent.get(0).getTopic());
        for (int i = 0; i < sent.size(); i++) {
            SendResult r = results.get(i);
            MessageExt got = all.get(r.getMessageQueue().getQueueId()).get((int) r.getQueueOffset());
            Check.same(sent.get(i), got);
            Check.equal("unique id", r.getMsgId(), got.getMsgId());
            Check.equal("offset id", r.getOffsetMsgId(), ((MessageClientExt) got).getOffsetMsgId());
            Check.equal("physical offset in the id", MessageDecoder.decodeMessageId(r.getOffsetMsgId()).getOffset(),
                got.getCommitLogOffset());
            Check.equal("reconsume times", 0, got.getReconsumeTimes());
            Check.that(got.getBornTimestamp() > 0 && got.getStoreTimestamp() > 0, "timestamps missing");
            Check.that(got.getStoreSize() > 91, "store size " + got.getStoreSize());
            Check.equal("born host", "127.0.0.1", ((java.net.InetSocketAddress) got.getBornHost()).getAddress().getHostAddress());
        }
    }

    /** To a topic that the first send makes. */
    private static void sync(Env env) throws Exception {
        String topic = env.topic("sync");
        List<Message> sent = env.messages(topic, "sync", 20);
        stored(env, sent, env.send(sent));
        Check.equal("queues of an auto-created topic", 4, env.producer().fetchPublishMessageQueues(topic).size());
    }

    private static void async(Env env) throws Exception {
        String topic = env.createTopic("async", 4);
        List<Message> sent = env.messages(topic, "async", 50);
        Map<Integer, SendResult> results = new ConcurrentHashMap<>();
        List<Throwable> errors = java.util.Collections.synchronizedList(new ArrayList<>());
        CountDownLatch done = new CountDownLatch(sent.size());
        for (int i = 0; i < sent.size(); i++) {
            int at = i;
            env.producer().send(sent.get(i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    results.put(at, result);
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    errors.add(e);
                    done.countDown();
                }
            });
        }
        Check.that(done.await(Env.PATIENCE, TimeUnit.MILLISECONDS), "no callback for " + done.getCount() + " messages");
        Check.that(errors.isEmpty(), "callbacks with errors: " + errors);
        List<SendResult> inOrder = new ArrayList<>();
        for (int i = 0; i < sent.size(); i++) {
            inOrder.add(Env.ok(results.get(i)));
        }
        stored(env, sent, inOrder);
    }

    private static void oneway(Env env) throws Exception {
        String topic = env.createTopic("oneway", 4);
        List<Message> sent = env.messages(topic, "oneway", 20);
        for (Message m : sent) {
            env.producer().sendOneway(m);
        }
        Check.exactly(sent, env.drainWhen(topic, sent.size()));
    }

    private static void batch(Env env) throws Exception {
        String topic = env.createTopic("batch", 4);
        List<Message> sent = env.messages(topic, "batch", 20);
        sent.get(7).putUserProperty("名", "päivää");
        sent.get(8).setFlag(77);
        SendResult r = Env.ok(env.producer().send(sent));
        String[] ids = r.getOffsetMsgId().split(",");
        Check.equal("offset ids", sent.size(), ids.length);
        Check.equal("unique ids", sent.size(), r.getMsgId().split(",").length);
        env.drainWhen(topic, sent.size());
        List<MessageExt> got = env.drain(topic).get(r.getMessageQueue().getQueueId());
        Check.equal("messages in the batch's queue", sent.size(), got.size());
        Check.equal("first offset", 0L, r.getQueueOffset());
        for (int i = 0; i < sent.size(); i++) {
            Check.same(sent.get(i), got.get(i));
            Check.equal("offset id of item " + i, ids[i], ((MessageClientExt) got.get(i)).getOffsetMsgId());
        }
        // A second batch to a chosen queue goes on at its end.
        List<Message> more = env.messages(topic, "more", 3);
        SendResult second = Env.ok(env.producer().send(more, r.getMessageQueue()));
        Check.equal("first offset of the second batch", 20L, second.getQueueOffset());
        env.drainWhen(topic, 23);
    }

    private static void queue(Env env) throws Exception {
        String topic = env.createTopic("queue", 6);
        MessageQueue fifth = env.producer().fetchPublishMessageQueues(topic).stream()
            .filter(q -> q.getQueueId() == 5).findFirst().orElseThrow();
        List<Message> direct = env.messages(topic, "direct", 10);
        List<SendResult> results = new ArrayList<>();
        for (Message m : direct) {
            results.add(Env.ok(env.producer().send(m, fifth)));
        }
        List<Message> chosen = env.messages(topic, "chosen", 10);
        for (Message m : chosen) {
            results.add(Env.ok(env.producer().send(m, (mqs, msg, arg) -> mqs.get((Integer) arg), 3)));
        }
        env.producer().sendOneway(new Message(topic, "", "last", "last".getBytes()), fifth);
        env.drainWhen(topic, 21);
        Map<Integer, List<MessageExt>> all = env.drain(topic);
        Check.equal("queue 5", Check.keys(direct), Check.keys(all.get(5).subList(0, 10)));
        Check.equal("oneway to queue 5", "last", all.get(5).get(10).getKeys());
        Check.equal("queue 3", Check.keys(chosen), Check.keys(all.get(3)));
        for (int id : new int[] {0, 1, 2, 4}) {
            Check.equal("queue " + id, 0, all.get(id).size());
        }
        for (int i = 0; i < 10; i++) {
            Check.equal("offset told", (long) i, results.get(i).getQueueOffset());
            Check.equal("queue told", 5, results.get(i).getMessageQueue().getQueueId());
        }
    }

    private static void unicode(Env env) throws Exception {
        String topic = env.createTopic("unicode", 2);
        Message m = new Message(topic, "标签", "клю́ч 鍵 🔑", "тело 本文 🧱".getBytes(StandardCharsets.UTF_8));
        m.setFlag(0x1234_5678);
        m.putUserProperty("Ελληνικά", "Ζεύς");
        m.putUserProperty("emoji 🚀", "👩‍🚀 in ‍space");
        m.putUserProperty("quotes", "\"single ' and \\ back \t tab {json: [1]}");
        m.putUserProperty("long", "ü".repeat(5000));
        Message plain = new Message(topic, "no properties".getBytes());
        plain.setKeys("plain");
        List<Message> sent = List.of(m, plain);
        stored(env, sent, env.send(sent));
        Message two = new Message(topic, "body".getBytes());
        two.setKeys(Arrays.asList("k1", "k2", "k3"));
        two.setWaitStoreMsgOK(false);
        SendResult r = Env.ok(env.producer().send(two));
        env.drainWhen(topic, 3);
        MessageExt got = env.drain(topic).get(r.getMessageQueue().getQueueId()).get((int) r.getQueueOffset());
        Check.equal("keys", "k1 k2 k3", got.getKeys());
        Check.equal("tags", null, got.getTags());
    }

    private static void big(Env env) throws Exception {
        String topic = env.createTopic("big", 1);
        byte[] body = new byte[3 << 20];
        new Random(3).nextBytes(body);
        Message m = new Message(topic, "big", "big", body);
        stored(env, List.of(m), env.send(List.of(m)));
        Env.Inbox box = env.inbox(env.group("big"), topic, "*");
        box.expect(List.of(m));
    }

    private static void compressed(Env env, String type, int flag) throws Exception {
        String topic = env.createTopic(type, 1);
        DefaultMQProducer p = Shim.compressing(type, () -> env.newProducer("P-" + env.topic(type)));
        p.setCompressMsgBodyOverHowmuch(4096);
        p.start();
        env.closing(p::shutdown);
        byte[] large = "compress me, ünd me. ".repeat(10_000).getBytes(StandardCharsets.UTF_8);
        Message packed = new Message(topic, "a", "packed", large.clone());
        Message small = new Message(topic, "b", "small", "too small to compress".getBytes());
        List<SendResult> results = List.of(Env.ok(p.send(packed)), Env.ok(p.send(small)));
        packed.setBody(large);
        stored(env, List.of(packed, small), results);
        DefaultMQPullConsumer raw = Shim.rawPull(() -> env.configure(new DefaultMQPullConsumer(env.group(type + "-raw"))));
        raw.start();
        env.closing(raw::shutdown);
        MessageQueue mq = raw.fetchSubscribeMessageQueues(topic).iterator().next();
        List<MessageExt> got = raw.pull(mq, "*", 0, 32).getMsgFoundList();
        Check.equal("messages by pull", 2, got.size());
        Check.equal("compression flags of the large one", 1 | flag, got.get(0).getSysFlag() & 0x701);
        Check.that(got.get(0).getStoreSize() < large.length / 10, "stored in " + got.get(0).getStoreSize() + " bytes");
        Check.equal("compression flag of the small one", 0, got.get(1).getSysFlag() & 0x701);
        env.inbox(env.group(type), topic, "*").expect(List.of(packed, small));
    }

    /** Through the second listener, on the broker's port less two. */
    private static void vip(Env env) throws Exception {
        String topic = env.createTopic("vip", 1);
        DefaultMQProducer p = env.newProducer("P-" + env.topic("vip"));
        p.setVipChannelEnabled(true);
        p.start();
        env.closing(p::shutdown);
        List<Message> sent = env.messages(topic, "vip", 5);
        List<SendResult> results = new ArrayList<>();
        for (Message m : sent) {
            results.add(Env.ok(p.send(m)));
        }
        stored(env, sent, results);
    }

    private static void oversize(Env env) throws Exception {
        String topic = env.createTopic("oversize", 1);
        DefaultMQProducer p = env.newProducer("P-" + env.topic("oversize"));
        p.setMaxMessageSize(8 << 20);
        p.setRetryTimesWhenSendFailed(0);
        p.start();
        env.closing(p::shutdown);
        byte[] body = new byte[5 << 20];
        new Random(5).nextBytes(body);
        try {
            p.send(new Message(topic, body));
            throw Check.failure("a body of 5 MiB was accepted");
        } catch (MQBrokerException e) {
            Check.equal("response code", 13, e.getResponseCode());
        }
        Message m = new Message(topic, "x", "wide", "body".getBytes());
        for (int i = 0; i < 4; i++) {
            m.putUserProperty("p" + i, "v".repeat(9000));
        }
        try {
            p.send(m);
            throw Check.failure("36,000 bytes of properties were accepted");
        } catch (MQBrokerException e) {
            Check.equal("response code", 13, e.getResponseCode());
        }
        List<Message> sent = env.messages(topic, "after", 2);
        for (Message after : sent) {
            Env.ok(p.send(after));
        }
        Check.exactly(sent, env.drainWhen(topic, 2));
    }
}
