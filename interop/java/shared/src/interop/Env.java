package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.impl.producer.DefaultMQProducerImpl;
import org.apache.rocketmq.client.impl.producer.TopicPublishInfo;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What a case works with: names of its own, clients that poll quickly and are closed behind it. */
public final class Env implements AutoCloseable {
    /** How long anything may take to become true, in milliseconds. */
    static final long PATIENCE = 60_000;
    /** How long a client waits for an answer, in milliseconds; Apache's 3 s for routes are short on a shared machine. */
    static final int PATIENT_MS = 20_000;
    /** How long a case listens for messages that must not come, in milliseconds. */
    static final long SILENCE = 700;

    /** Objects that one step of a scenario leaves for the next. */
    static final Map<String, Object> KEPT = new ConcurrentHashMap<>();
    private static final Map<String, DefaultMQProducer> PRODUCERS = new ConcurrentHashMap<>();
    private static final Map<String, DefaultMQPullConsumer> DRAINS = new ConcurrentHashMap<>();
    private static final AtomicInteger INSTANCES = new AtomicInteger();

    final Map<String, String> params;
    private final Deque<AutoCloseable> open = new ArrayDeque<>();

    Env(Map<String, String> params) {
        this.params = params;
    }

    String param(String name) {
        String value = params.get(name);
        Check.that(value != null, "the runner gave no " + name);
        return value;
    }

    String topic(String name) {
        return param("scope") + "-" + name;
    }

    String group(String name) {
        return "G-" + param("scope") + "-" + name;
    }

    void keep(String name, Object value) {
        KEPT.put(param("scope") + "/" + name, value);
    }

    @SuppressWarnings("unchecked")
    <T> T kept(String name) {
        Object value = KEPT.get(param("scope") + "/" + name);
        Check.that(value != null, "an earlier step left no " + name);
        return (T) value;
    }

    /** Closed when the case ends, last one first. */
    <T extends AutoCloseable> T closing(T resource) {
        open.push(resource);
        return resource;
    }

    /** What was opened so far outlives the case: a later step uses it. */
    void leaveOpen() {
        open.clear();
    }

    @Override
    public void close() throws Exception {
        while (!open.isEmpty()) {
            open.pop().close();
        }
    }

    <T extends ClientConfig> T configure(T client) {
        client.setNamesrvAddr(param("ns"));
        client.setInstanceName("i" + INSTANCES.incrementAndGet() + "p" + ProcessHandle.current().pid());
        client.setPollNameServerInterval(1000);
        client.setPersistConsumerOffsetInterval(1000);
        client.setClientCallbackExecutorThreads(2);
        client.setMqClientApiTimeout(PATIENT_MS);
        return client;
    }

    /** The producer that all cases on one name server share. */
    DefaultMQProducer producer() {
        return PRODUCERS.computeIfAbsent(param("ns"), ns -> {
            try {
                DefaultMQProducer p = newProducer("P-" + param("scope"));
                p.start();
                return p;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
    }

    /** Not started; patient, because the machine is shared, and without compression. */
    DefaultMQProducer newProducer(String group) {
        DefaultMQProducer p = configure(new DefaultMQProducer(group));
        p.setSendMsgTimeout(PATIENT_MS);
        p.setCompressMsgBodyOverHowmuch(64 << 20);
        return p;
    }

    /** A push consumer from the first message on, with few threads; not started, closed with the case. */
    DefaultMQPushConsumer push(String group) {
        DefaultMQPushConsumer c = configure(new DefaultMQPushConsumer(group));
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setConsumeThreadMin(4);
        c.setConsumeThreadMax(4);
        c.setAwaitTerminationMillisWhenShutdown(2000);
        closing(c::shutdown);
        return c;
    }

    /** A running push consumer that collects what arrives. */
    Inbox inbox(String group, String topic, String expression) throws Exception {
        Inbox box = new Inbox(push(group));
        box.consumer.subscribe(topic, expression);
        box.listen();
        box.consumer.start();
        return box;
    }

    DefaultMQPullConsumer pull(String group) throws Exception {
        DefaultMQPullConsumer c = configure(new DefaultMQPullConsumer(group));
        c.setConsumerPullTimeoutMillis(PATIENT_MS);
        c.start();
        closing(c::shutdown);
        return c;
    }

    DefaultLitePullConsumer lite(String group) {
        DefaultLitePullConsumer c = configure(new DefaultLitePullConsumer(group));
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setPullThreadNums(4);
        closing(c::shutdown);
        return c;
    }

    /** A topic with that many queues, made through the client's own admin call, known to the name server on return. */
    String createTopic(String name, int queues) throws Exception {
        String topic = topic(name);
        setQueues(topic, queues);
        return topic;
    }

    /** Makes the topic or changes it, and waits for its route. */
    void setQueues(String topic, int queues) throws Exception {
        AtomicInteger tries = new AtomicInteger();
        Check.eventually("topic " + topic + " with " + queues + " queues", () -> {
            int attempt = tries.getAndIncrement();
            if (attempt == 0) {
                Shim.createTopic(producer(), topic, queues);
            } else if (attempt % 100 == 0 && brokerIsApaches()) {
                // Apache's broker registers topics that change at the same time in any order and may lose one for
                // good; only a further change of the topic is registered again.
                Shim.createTopic(producer(), topic, queues + 1);
                Shim.createTopic(producer(), topic, queues);
            }
            return producer().fetchPublishMessageQueues(topic).size() == queues && isKnown(producer(), topic, queues);
        });
    }

    /**
     * Whether the producer knows the topic's queues; makes it look. Before a first send it would look by itself, but wait
     * only 3 s for the lock that the look-ups of other cases hold, and then send by the default topic's route, to queues
     * that may not be there. Its brokers then hear of it, as they would: without that nobody could answer its requests.
     */
    private static boolean isKnown(DefaultMQProducer producer, String topic, int queues) {
        DefaultMQProducerImpl inner = producer.getDefaultMQProducerImpl();
        inner.getMqClientFactory().updateTopicRouteInfoFromNameServer(topic);
        TopicPublishInfo info = inner.getTopicPublishInfoTable().get(topic);
        if (info == null || !info.ok() || info.getMessageQueueList().size() != queues) {
            return false;
        }
        inner.getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        return true;
    }

    /** Whether the broker is Apache's: all servers are, or it is that of the mixed cluster, which is named so. */
    private boolean brokerIsApaches() throws Exception {
        return Boolean.getBoolean("interop.apache")
            || producer().fetchPublishMessageQueues("TBW102").get(0).getBrokerName().equals("apache-broker");
    }

    /** Distinct messages: keys {@code prefix-0} and so on, a tag, a user property and a body that names them. */
    List<Message> messages(String topic, String prefix, int count) {
        List<Message> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String key = prefix + "-" + i;
            Message m = new Message(topic, "T" + i % 3, key, ("body of " + key + " für " + topic).getBytes(StandardCharsets.UTF_8));
            m.putUserProperty("number", Integer.toString(i));
            all.add(m);
        }
        return all;
    }

    List<SendResult> send(Collection<Message> messages) throws Exception {
        List<SendResult> results = new ArrayList<>();
        for (Message m : messages) {
            results.add(ok(producer().send(m)));
        }
        return results;
    }

    /** Each message to queue (index mod queues). */
    List<SendResult> spread(Collection<Message> messages, int queues) throws Exception {
        List<SendResult> results = new ArrayList<>();
        Map<Integer, MessageQueue> route = new TreeMap<>();
        int i = 0;
        for (Message m : messages) {
            if (route.isEmpty()) {
                producer().fetchPublishMessageQueues(m.getTopic()).forEach(q -> route.put(q.getQueueId(), q));
            }
            results.add(ok(producer().send(m, route.get(i++ % queues))));
        }
        return results;
    }

    static SendResult ok(SendResult result) {
        Check.equal("send status", SendStatus.SEND_OK, result.getSendStatus());
        return result;
    }

    private DefaultMQPullConsumer drain() {
        return DRAINS.computeIfAbsent(param("ns"), ns -> {
            try {
                DefaultMQPullConsumer c = configure(new DefaultMQPullConsumer("G-drain-" + param("scope")));
                c.setConsumerPullTimeoutMillis(PATIENT_MS);
                c.start();
                return c;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
    }

    /** All that lies in a topic now, pulled queue by queue; offsets must have no gap. */
    Map<Integer, List<MessageExt>> drain(String topic) throws Exception {
        Map<Integer, List<MessageExt>> all = new TreeMap<>();
        for (MessageQueue mq : drain().fetchSubscribeMessageQueues(topic)) {
            all.put(mq.getQueueId(), drain(mq));
        }
        return all;
    }

    List<MessageExt> drain(MessageQueue mq) throws Exception {
        List<MessageExt> got = new ArrayList<>();
        long next = drain().minOffset(mq);
        long end = drain().maxOffset(mq);
        while (next < end) {
            PullResult r = drain().pull(mq, "*", next, 32);
            Check.equal("pull of " + mq + " at " + next + " of " + end, PullStatus.FOUND, r.getPullStatus());
            for (MessageExt m : r.getMsgFoundList()) {
                Check.equal("queue offset in " + mq, next++, m.getQueueOffset());
                Check.equal("queue id in " + mq, mq.getQueueId(), m.getQueueId());
                got.add(m);
            }
            Check.equal("nextBeginOffset in " + mq, next, r.getNextBeginOffset());
        }
        return got;
    }

    /** The messages of all queues. */
    List<MessageExt> drainAll(String topic) throws Exception {
        List<MessageExt> all = new ArrayList<>();
        drain(topic).values().forEach(all::addAll);
        return all;
    }

    /** Waits until exactly so many messages lie in the topic. */
    List<MessageExt> drainWhen(String topic, int count) throws Exception {
        List<MessageExt> last = new ArrayList<>();
        Check.eventually(count + " messages in " + topic, () -> {
            last.clear();
            last.addAll(drainAll(topic));
            return last.size() >= count;
        });
        Check.equal("messages in " + topic, count, last.size());
        return last;
    }

    /** The group's committed offsets as the broker tells them, by queue. */
    Map<Integer, Long> committed(String group, String topic) throws Exception {
        DefaultMQPullConsumer c = configure(new DefaultMQPullConsumer(group));
        c.start();
        try {
            Map<Integer, Long> offsets = new TreeMap<>();
            for (MessageQueue mq : c.fetchSubscribeMessageQueues(topic)) {
                offsets.put(mq.getQueueId(), c.fetchConsumeOffset(mq, true));
            }
            return offsets;
        } finally {
            // It is a member of the group while it lives and would be given queues.
            c.shutdown();
        }
    }

    /** The ends of a topic's queues. */
    Map<Integer, Long> ends(String topic) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        for (MessageQueue mq : drain().fetchSubscribeMessageQueues(topic)) {
            offsets.put(mq.getQueueId(), drain().maxOffset(mq));
        }
        return offsets;
    }

    /** The starts of a topic's queues. */
    Map<Integer, Long> starts(String topic) throws Exception {
        Map<Integer, Long> offsets = new TreeMap<>();
        for (MessageQueue mq : drain().fetchSubscribeMessageQueues(topic)) {
            offsets.put(mq.getQueueId(), drain().minOffset(mq));
        }
        return offsets;
    }

    /** A push consumer and what it received. */
    static final class Inbox {
        final DefaultMQPushConsumer consumer;
        private final List<MessageExt> got = new ArrayList<>();

        Inbox(DefaultMQPushConsumer consumer) {
            this.consumer = consumer;
        }

        void listen() {
            consumer.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
                add(msgs);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }

        synchronized void add(List<MessageExt> msgs) {
            got.addAll(msgs);
        }

        synchronized List<MessageExt> all() {
            return new ArrayList<>(got);
        }

        synchronized int count() {
            return got.size();
        }

        synchronized void clear() {
            got.clear();
        }

        /** Exactly these arrive, in any order, and then nothing for a while. */
        void expect(Collection<? extends Message> sent) throws Exception {
            try {
                Check.eventually(sent.size() + " messages", () -> count() >= sent.size());
            } catch (Check.Failure late) {
                Check.exactly(sent, all());
                throw late;
            }
            Thread.sleep(SILENCE);
            Check.exactly(sent, all());
        }

        /** The queues of the topic that this consumer holds now. */
        int queues(String topic) {
            return (int) consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet().stream()
                .filter(q -> q.getTopic().equals(topic)).count();
        }

        /**
         * Waits for a share. A renewal of queue locks may bring back one that its member has just given up; it then
         * expires at the broker after 60 s, and the new owner looks again every 20 s.
         */
        void awaitQueues(String topic, int count) throws Exception {
            Check.eventually(count + " queues of " + topic, Env.PATIENCE + 90_000, () -> queues(topic) == count);
        }
    }
}
