package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The producing half of {@link Member}. */
final class MemberProducers {
    private static final Map<String, DefaultMQProducer> PRODUCERS = new ConcurrentHashMap<>();

    private MemberProducers() {
    }

    static void register() {
        Member.VERBS.put("producer", MemberProducers::start);
        Member.VERBS.put("send", MemberProducers::send);
        Member.VERBS.put("batch", MemberProducers::batch);
        Member.VERBS.put("transact", MemberProducers::transact);
        Member.VERBS.put("request", MemberProducers::request);
        Member.VERBS.put("topic", MemberProducers::topic);
    }

    static void configure(ClientConfig client, Member.Args a) {
        client.setNamesrvAddr(a.get("ns"));
        client.setInstanceName(a.get("name") + "-" + ProcessHandle.current().pid());
        client.setPollNameServerInterval(1000);
        client.setHeartbeatBrokerInterval(1000);
        client.setPersistConsumerOffsetInterval(500);
        client.setMqClientApiTimeout(Env.PATIENT_MS);
        if (a.has("clientip")) {
            client.setClientIP(a.get("clientip"));
        }
        if (a.has("namespace")) {
            client.setNamespace(a.get("namespace"));
        }
    }

    private static DefaultMQProducer producer(Member.Args a) {
        DefaultMQProducer producer = PRODUCERS.get(a.get("name"));
        if (producer == null) {
            throw new IllegalArgumentException("no producer " + a.get("name"));
        }
        return producer;
    }

    /** Makes a topic and waits for its route. One after the other: Apache's broker may lose topics that change at once. */
    private static synchronized Map<String, Object> topic(Member.Args a) throws Exception {
        int queues = a.number("queues", 4);
        String failure = "";
        for (int attempt = 0; attempt < 300; attempt++) {
            try {
                if (attempt % 40 == 0) {
                    Shim.createTopic(producer(a), a.get("topic"), attempt == 0 ? queues : queues + 1);
                    Shim.createTopic(producer(a), a.get("topic"), queues);
                }
                if (producer(a).fetchPublishMessageQueues(a.get("topic")).size() == queues) {
                    return Map.of();
                }
            } catch (MQClientException e) {
                failure = e.toString();
            }
            Thread.sleep(100);
        }
        throw new IllegalStateException("no route of " + a.get("topic") + " " + failure);
    }

    private static DefaultMQProducer plain(Member.Args a) {
        if (a.has("compress")) {
            return Shim.compressing(a.get("compress"), () -> new DefaultMQProducer(a.get("group")));
        }
        return a.has("trace") ? new DefaultMQProducer(a.get("group"), true, null) : new DefaultMQProducer(a.get("group"));
    }

    private static Map<String, Object> start(Member.Args a) throws Exception {
        DefaultMQProducer p;
        if (a.has("transaction")) {
            TransactionMQProducer t = new TransactionMQProducer(a.get("group"));
            t.setTransactionListener(new Decisions(a));
            p = t;
        } else {
            p = plain(a);
        }
        configure(p, a);
        p.setSendMsgTimeout(a.number("timeout", 20_000));
        p.setCompressMsgBodyOverHowmuch(a.number("over", 64 << 20));
        p.start();
        PRODUCERS.put(a.get("name"), p);
        Member.OPEN.put(a.get("name"), p::shutdown);
        return Member.map("client", p.buildMQClientId());
    }

    /** Decides as the request that made the producer says; hang never answers. */
    private static final class Decisions implements TransactionListener {
        private final Member.Args a;

        Decisions(Member.Args a) {
            this.a = a;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
            Member.event("execute", Member.map("name", a.get("name"), "hex", Member.hex(m.getBody())));
            return state(a.get("transaction"));
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt m) {
            Member.event("check", Member.map("name", a.get("name"), "hex", Member.hex(m.getBody()),
                "id", m.getTransactionId(), "times", m.getProperty("TRANSACTION_CHECK_TIMES")));
            return state(a.get("check", "unknown"));
        }

        private static LocalTransactionState state(String word) {
            switch (word) {
                case "commit":
                    return LocalTransactionState.COMMIT_MESSAGE;
                case "rollback":
                    return LocalTransactionState.ROLLBACK_MESSAGE;
                case "unknown":
                    return LocalTransactionState.UNKNOW;
                default:
                    while (true) {
                        try {
                            Thread.sleep(1_000_000);
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                            return LocalTransactionState.UNKNOW;
                        }
                    }
            }
        }
    }

    private static Message message(Member.Args a, String hex) {
        Message m = new Message(a.get("topic"), Member.unhex(hex));
        if (a.has("tag")) {
            m.setTags(a.get("tag"));
        }
        if (a.has("keys")) {
            m.setKeys(a.get("keys"));
        }
        a.all().forEach((key, value) -> {
            if (key.startsWith("p.")) {
                m.putUserProperty(key.substring(2), value);
            }
        });
        if (a.has("delay")) {
            m.setDelayTimeLevel(a.number("delay", 0));
        }
        if (a.has("flag")) {
            m.setFlag(a.number("flag", 0));
        }
        return m;
    }

    private static Map<String, Object> told(SendResult r) {
        if (r == null) {
            return Map.of();
        }
        return Member.map("status", r.getSendStatus(), "id", r.getMsgId(), "offsetid", r.getOffsetMsgId(),
            "broker", r.getMessageQueue().getBrokerName(), "queue", r.getMessageQueue().getQueueId(), "offset", r.getQueueOffset());
    }

    private static Map<String, Object> send(Member.Args a) throws Exception {
        DefaultMQProducer p = producer(a);
        Message m = message(a, a.get("hex"));
        if (a.has("queue")) {
            for (MessageQueue q : p.fetchPublishMessageQueues(a.get("topic"))) {
                if (q.getQueueId() == a.number("queue", 0)) {
                    return told(p.send(m, q));
                }
            }
            throw new IllegalArgumentException("no queue " + a.get("queue"));
        }
        if (a.has("sharding")) {
            m.putUserProperty("__SHARDINGKEY", a.get("sharding"));
            return told(p.send(m, new SelectMessageQueueByHash(), a.get("sharding")));
        }
        switch (a.get("mode", "sync")) {
            case "oneway":
                p.sendOneway(m);
                return Map.of();
            case "async":
                CompletableFuture<SendResult> done = new CompletableFuture<>();
                p.send(m, new SendCallback() {
                    @Override
                    public void onSuccess(SendResult r) {
                        done.complete(r);
                    }

                    @Override
                    public void onException(Throwable t) {
                        done.completeExceptionally(t);
                    }
                });
                return told(done.get(20, TimeUnit.SECONDS));
            default:
                return told(p.send(m));
        }
    }

    private static Map<String, Object> batch(Member.Args a) throws Exception {
        List<Message> all = new ArrayList<>();
        for (String hex : a.get("hex").split(",")) {
            all.add(message(a, hex));
        }
        return told(producer(a).send(all));
    }

    private static Map<String, Object> transact(Member.Args a) throws Exception {
        TransactionSendResult r = ((TransactionMQProducer) producer(a)).sendMessageInTransaction(message(a, a.get("hex")), null);
        Map<String, Object> told = told(r);
        told.put("state", r.getLocalTransactionState());
        return told;
    }

    private static Map<String, Object> request(Member.Args a) throws Exception {
        Message reply = producer(a).request(message(a, a.get("hex")), a.number("timeout", 10_000));
        Map<String, Object> told = Member.map("hex", Member.hex(reply.getBody()));
        reply.getProperties().forEach((k, v) -> told.put("p." + k, v));
        return told;
    }
}
