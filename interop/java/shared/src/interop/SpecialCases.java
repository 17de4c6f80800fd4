package interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Transactions, SQL92, requests and replies, traces. */
final class SpecialCases {
    private SpecialCases() {
    }

    static void register() {
        Driver.add("transaction.decided", SpecialCases::decided);
        Driver.add("transaction.checked", SpecialCases::checked);
        Driver.add("sql.push", SpecialCases::sqlPush);
        Driver.add("sql.pull", SpecialCases::sqlPull);
        Driver.add("sql.refused", SpecialCases::sqlRefused);
        Driver.add("request", SpecialCases::request);
        Driver.add("trace", SpecialCases::trace);
    }

    /** Says what a message's user property "number" asks for, at once or when it is checked. */
    private static final class Decisions implements TransactionListener {
        private final boolean later;
        final Map<String, List<MessageExt>> checks = new ConcurrentHashMap<>();

        Decisions(boolean later) {
            this.later = later;
        }

        private static LocalTransactionState by(Message m) {
            return Integer.parseInt(m.getUserProperty("number")) % 2 == 0 ? LocalTransactionState.COMMIT_MESSAGE : LocalTransactionState.ROLLBACK_MESSAGE;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
            return later ? LocalTransactionState.UNKNOW : by(m);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt m) {
            List<MessageExt> asked = checks.computeIfAbsent(m.getKeys(), key -> new ArrayList<>());
            asked.add(m);
            // The first is not decided until it is asked about again.
            return m.getUserProperty("number").equals("0") && asked.size() == 1 ? LocalTransactionState.UNKNOW : by(m);
        }
    }

    /** Sends in transactions; the committed messages alone arrive, each with all that it was sent with. */
    private static Decisions transactions(Env env, String name, boolean later) throws Exception {
        String topic = env.createTopic(name, 2);
        TransactionMQProducer producer = env.configure(new TransactionMQProducer("P-" + topic));
        producer.setSendMsgTimeout(20_000);
        Decisions decisions = new Decisions(later);
        producer.setTransactionListener(decisions);
        producer.start();
        env.closing(producer::shutdown);
        Env.Inbox box = env.inbox(env.group(name), topic, "*");
        List<Message> sent = env.messages(topic, name, 8);
        List<Message> committed = new ArrayList<>();
        Map<String, String> ids = new ConcurrentHashMap<>();
        for (Message m : sent) {
            SendResult result = Env.ok(producer.sendMessageInTransaction(m, null));
            ids.put(m.getKeys(), result.getMsgId());
            if (Decisions.by(m) == LocalTransactionState.COMMIT_MESSAGE) {
                committed.add(m);
            }
        }
        Check.eventually(committed.size() + " messages", () -> distinct(box).size() >= committed.size());
        Thread.sleep(Env.SILENCE);
        Check.exactly(committed, distinct(box));
        for (MessageExt m : box.all()) {
            Check.equal("id of " + m.getKeys(), ids.get(m.getKeys()), m.getMsgId());
            Check.equal("transaction of " + m.getKeys(), ids.get(m.getKeys()), m.getTransactionId());
        }
        if (later) {
            Check.eventually("all were asked about", () -> decisions.checks.size() == sent.size());
            for (Message m : sent) {
                MessageExt asked = decisions.checks.get(m.getKeys()).get(0);
                Check.same(m, asked);
                Check.equal("transaction of " + m.getKeys(), ids.get(m.getKeys()), asked.getTransactionId());
            }
        }
        return decisions;
    }

    /** One of each, as a message whose producer is asked while its answer is under way may be committed twice. */
    private static Collection<MessageExt> distinct(Env.Inbox box) {
        Map<String, MessageExt> all = new TreeMap<>();
        box.all().forEach(m -> all.put(m.getKeys(), m));
        return all.values();
    }

    private static void decided(Env env) throws Exception {
        transactions(env, "tx-decided", false);
    }

    private static void checked(Env env) throws Exception {
        List<MessageExt> undecided = transactions(env, "tx-checked", true).checks.get("tx-checked-0");
        Check.equal("checks of the one that was not decided", 2, undecided.size());
    }

    /** Messages with numbers a from 0 to 9, a colour each, and no number b on the odd ones. */
    private static List<Message> coloured(Env env, String topic) {
        List<Message> all = env.messages(topic, "c", 10);
        for (int i = 0; i < 10; i++) {
            all.get(i).putUserProperty("a", Integer.toString(i));
            all.get(i).putUserProperty("colour", i % 3 == 0 ? "blue" : i % 3 == 1 ? "größe" : "it's red");
            if (i % 2 == 0) {
                all.get(i).putUserProperty("b", i + ".5");
            }
        }
        return all;
    }

    private static List<Message> those(List<Message> all, Predicate<Message> wanted) {
        return all.stream().filter(wanted).toList();
    }

    private static int a(Message m) {
        return Integer.parseInt(m.getUserProperty("a"));
    }

    private static void sqlPush(Env env) throws Exception {
        String topic = env.createTopic("sql", 2);
        List<Message> all = coloured(env, topic);
        Map<String, Predicate<Message>> expressions = Map.of(
            "a BETWEEN 2 AND 6 AND colour <> 'blue'", m -> a(m) >= 2 && a(m) <= 6 && a(m) % 3 != 0,
            "b IS NULL OR b > 6.0", m -> a(m) % 2 == 1 || a(m) >= 6,
            "colour IN ('größe', 'it''s red') AND NOT (a = 1)", m -> a(m) % 3 != 0 && a(m) != 1,
            "a > 3 AND TAGS = 'T1'", m -> a(m) > 3 && m.getTags().equals("T1"),
            "colour CONTAINS 'lu' OR colour STARTSWITH 'gr'", m -> a(m) % 3 != 2,
            "missing = 1 OR missing IS NOT NULL", m -> false);
        Map<String, Env.Inbox> boxes = new ConcurrentHashMap<>();
        for (String expression : expressions.keySet()) {
            DefaultMQPushConsumer consumer = env.push(env.group("sql-" + boxes.size()));
            Env.Inbox box = new Env.Inbox(consumer);
            consumer.subscribe(topic, MessageSelector.bySql(expression));
            box.listen();
            consumer.start();
            boxes.put(expression, box);
        }
        env.send(all);
        for (Map.Entry<String, Env.Inbox> entry : boxes.entrySet()) {
            try {
                entry.getValue().expect(those(all, expressions.get(entry.getKey())));
            } catch (Check.Failure e) {
                throw Check.failure(entry.getKey() + ": " + e.getMessage());
            }
        }
    }

    private static void sqlPull(Env env) throws Exception {
        String topic = env.createTopic("sql-pull", 1);
        List<Message> all = coloured(env, topic);
        env.send(all);
        env.drainWhen(topic, 10);
        DefaultMQPullConsumer consumer = env.configure(new DefaultMQPullConsumer(env.group("sql-pull")));
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.setConsumerPullTimeoutMillis(20_000);
        consumer.start();
        env.closing(consumer::shutdown);
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        PullResult[] pulled = new PullResult[1];
        // It learns with a heartbeat that the broker is recent enough.
        Check.eventually("a pull", () -> {
            pulled[0] = consumer.pull(queue, MessageSelector.bySql("a IN ('1', '4') OR a >= 8"), 0, 32);
            return true;
        });
        PullResult result = pulled[0];
        Check.equal("status", PullStatus.FOUND, result.getPullStatus());
        Check.equal("next", 10L, result.getNextBeginOffset());
        Check.exactly(those(all, m -> a(m) == 1 || a(m) == 4 || a(m) >= 8), result.getMsgFoundList());
    }

    /** What cannot be understood is refused when the consumer starts. */
    private static void sqlRefused(Env env) throws Exception {
        String topic = env.createTopic("sql-refused", 1);
        DefaultMQPushConsumer consumer = env.push(env.group("sql-refused"));
        consumer.subscribe(topic, MessageSelector.bySql("a > > 3"));
        consumer.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        try {
            consumer.start();
        } catch (MQClientException e) {
            Check.equal("response code", 23, e.getResponseCode());
            return;
        }
        throw Check.failure("a wrong expression was taken");
    }

    /** Asks without waiting, as this way works in both lines; two questions at the same time get their own answers. */
    private static void request(Env env) throws Exception {
        String topic = env.createTopic("request", 2);
        DefaultMQProducer answering = env.newProducer("P-answers-" + env.param("scope"));
        answering.start();
        env.closing(answering::shutdown);
        DefaultMQPushConsumer consumer = env.push(env.group("request"));
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            for (MessageExt m : msgs) {
                try {
                    byte[] body = ("re: " + new String(m.getBody(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8);
                    Env.ok(answering.send(MessageUtil.createReplyMessage(m, body), 20_000));
                } catch (Exception e) {
                    // The broker hands an answer over once, within a few seconds; what did not arrive is answered again.
                    e.printStackTrace();
                    context.setDelayLevelWhenNextConsume(1);
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Map<String, CompletableFuture<Message>> answers = new ConcurrentHashMap<>();
        for (Message m : env.messages(topic, "ask", 2)) {
            CompletableFuture<Message> answer = new CompletableFuture<>();
            answers.put(new String(m.getBody(), StandardCharsets.UTF_8), answer);
            env.producer().request(m, new RequestCallback() {
                @Override
                public void onSuccess(Message reply) {
                    // Apache's clients call this with nothing when the question is stored.
                    if (reply != null) {
                        answer.complete(reply);
                    }
                }

                @Override
                public void onException(Throwable t) {
                    answer.completeExceptionally(t);
                }
            }, 100_000);
        }
        for (Map.Entry<String, CompletableFuture<Message>> entry : answers.entrySet()) {
            Message reply = entry.getValue().get(120, TimeUnit.SECONDS);
            Check.equal("answer", "re: " + entry.getKey(), new String(reply.getBody(), StandardCharsets.UTF_8));
        }
    }

    /** Who traces leaves one record of a send and two of a consumption, with the message's id. */
    private static void trace(Env env) throws Exception {
        String topic = env.createTopic("trace", 1);
        String traces = "RMQ_SYS_TRACE_TOPIC";
        DefaultMQProducer producer = env.configure(new DefaultMQProducer("P-trace-" + env.param("scope"), true, null));
        producer.setSendMsgTimeout(20_000);
        producer.start();
        env.closing(producer::shutdown);
        DefaultMQPushConsumer consumer = env.configure(new DefaultMQPushConsumer(env.group("trace"), true, null));
        Env.Inbox box = new Env.Inbox(consumer);
        consumer.subscribe(topic, "*");
        box.listen();
        consumer.start();
        env.closing(consumer::shutdown);
        List<Message> sent = env.messages(topic, "traced", 1);
        String id = Env.ok(producer.send(sent.get(0))).getMsgId();
        Check.eventually("consumed", () -> box.count() > 0);
        Check.eventually("all three records", () -> {
            List<String> lines = new ArrayList<>();
            for (MessageExt m : env.drainAll(traces)) {
                lines.addAll(List.of(new String(m.getBody(), StandardCharsets.UTF_8).split("\u0002")));
            }
            return List.of("Pub", "SubBefore", "SubAfter").stream()
                .allMatch(kind -> lines.stream().filter(l -> l.startsWith(kind + "\u0001") && l.contains(id)).count() == 1);
        });
    }
}
