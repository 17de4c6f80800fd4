package interop;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * What one broker began and another, which opens its store, ends: delays, retries, transactions, a filtered group. Level 18
 * is two hours for the first and a second for the other, and only the other asks about transactions.
 */
final class PendingCases {
    private static final String FILTER = "a >= 5 AND colour IS NOT NULL";

    private PendingCases() {
    }

    static void register() {
        Driver.add("pending.begin", PendingCases::begin);
        Driver.add("pending.end", PendingCases::end);
    }

    private static TransactionMQProducer producer(Env env, LocalTransactionState now, LocalTransactionState later) throws Exception {
        TransactionMQProducer producer = env.configure(new TransactionMQProducer("P-" + env.topic("pending")));
        producer.setSendMsgTimeout(20_000);
        producer.setHeartbeatBrokerInterval(1000);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
                return now;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt m) {
                return later;
            }
        });
        producer.start();
        env.closing(producer::shutdown);
        return producer;
    }

    private static Env.Inbox filtered(Env env) throws Exception {
        Env.Inbox box = new Env.Inbox(env.push(env.group("pending-sql")));
        box.consumer.subscribe(env.topic("pending-sql"), MessageSelector.bySql(FILTER));
        box.listen();
        box.consumer.start();
        return box;
    }

    /** Ten messages, of which the filter wants the last five. */
    private static List<Message> numbered(Env env, String prefix) {
        List<Message> all = env.messages(env.topic("pending-sql"), prefix, 10);
        for (int i = 0; i < 10; i++) {
            all.get(i).putUserProperty("a", Integer.toString(i));
            all.get(i).putUserProperty("colour", "blue");
        }
        return all;
    }

    private static void begin(Env env) throws Exception {
        List<Message> delayed = env.messages(env.createTopic("pending-delay", 1), "delayed", 4);
        delayed.forEach(m -> m.setDelayTimeLevel(18));
        env.send(delayed);
        env.keep("pending-delayed", delayed);

        List<Message> halves = env.messages(env.createTopic("pending-tx", 1), "half", 4);
        TransactionMQProducer producer = producer(env, LocalTransactionState.UNKNOW, LocalTransactionState.UNKNOW);
        for (Message m : halves) {
            Env.ok(producer.sendMessageInTransaction(m, null));
        }
        env.keep("pending-halves", halves);

        String topic = env.createTopic("pending-retry", 1);
        List<Message> failing = env.messages(topic, "failing", 3);
        env.send(failing);
        env.keep("pending-failing", failing);
        DefaultMQPushConsumer consumer = env.push(env.group("pending-retry"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            context.setDelayLevelWhenNextConsume(18);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        Check.eventually("delayed and failed messages wait", () -> env.ends("SCHEDULE_TOPIC_XXXX").get(17) == 7);
        consumer.shutdown();
        Check.equal("committed", env.ends(topic), env.committed(env.group("pending-retry"), topic));

        env.createTopic("pending-sql", 1);
        List<Message> first = numbered(env, "first");
        env.send(first);
        Env.Inbox box = filtered(env);
        box.expect(first.subList(5, 10));
        box.consumer.shutdown();
        List<Message> rest = numbered(env, "rest");
        env.send(rest);
        env.keep("pending-filtered", rest.subList(5, 10));
        Check.equal("messages before the other broker", 0, env.drainAll(env.topic("pending-delay")).size() + env.drainAll(env.topic("pending-tx")).size());
    }

    private static void end(Env env) throws Exception {
        Check.eventually("the broker is registered", () -> !env.producer().fetchPublishMessageQueues(env.topic("pending-delay")).isEmpty());
        env.inbox(env.group("pending-delay"), env.topic("pending-delay"), "*").expect(env.kept("pending-delayed"));
        filtered(env).expect(env.kept("pending-filtered"));

        List<Message> failing = env.kept("pending-failing");
        Map<String, MessageExt> again = new ConcurrentHashMap<>();
        Env.Inbox retries = env.inbox(env.group("pending-retry"), env.topic("pending-retry"), "*");
        Check.eventually("retries", () -> retries.count() >= failing.size());
        retries.all().forEach(m -> again.put(m.getKeys(), m));
        Check.equal("retried", failing.size(), again.size());
        for (Message m : failing) {
            Check.same(m, again.get(m.getKeys()));
            Check.equal("times of " + m.getKeys(), 1, again.get(m.getKeys()).getReconsumeTimes());
        }

        // Who has sent nothing is known to the broker all the same, once it has heard of the topic.
        TransactionMQProducer producer = producer(env, LocalTransactionState.ROLLBACK_MESSAGE, LocalTransactionState.COMMIT_MESSAGE);
        producer.send(new Message(env.topic("pending-hello"), "hello".getBytes()));
        List<Message> halves = env.kept("pending-halves");
        Env.Inbox box = env.inbox(env.group("pending-tx"), env.topic("pending-tx"), "*");
        Check.eventually("the transactions", () -> distinct(box.all()).size() >= halves.size());
        Check.exactly(halves, distinct(box.all()));
    }

    private static Collection<MessageExt> distinct(List<MessageExt> messages) {
        Map<String, MessageExt> all = new TreeMap<>();
        messages.forEach(m -> all.put(m.getKeys(), m));
        return Collections.unmodifiableList(new ArrayList<>(all.values()));
    }
}
