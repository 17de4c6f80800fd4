package interop;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Finding messages again, and topics. */
final class QueryCases {
    private QueryCases() {
    }

    static void register() {
        Driver.add("query.offset.id", QueryCases::byOffsetId);
        Driver.add("query.unique.id", QueryCases::byUniqueId);
        Driver.add("query.key", QueryCases::byKey);
        Driver.add("topic.create", QueryCases::create);
    }

    private static void byOffsetId(Env env) throws Exception {
        String topic = env.createTopic("qoffset", 2);
        List<Message> sent = env.messages(topic, "q", 6);
        List<SendResult> results = env.send(sent);
        for (int i = 0; i < sent.size(); i++) {
            MessageExt got = Shim.viewByOffsetId(env.producer(), topic, results.get(i).getOffsetMsgId());
            Check.same(sent.get(i), got);
            Check.equal("queue", results.get(i).getMessageQueue().getQueueId(), got.getQueueId());
            Check.equal("queue offset", results.get(i).getQueueOffset(), got.getQueueOffset());
        }
        String id = results.get(0).getOffsetMsgId();
        // Far behind the end of the log.
        String nowhere = id.substring(0, 16) + "00000FFFFFFFFFFF";
        try {
            MessageExt got = Shim.viewByOffsetId(env.producer(), topic, nowhere);
            Check.equal("a message behind the end", null, got);
        } catch (Check.Failure f) {
            throw f;
        } catch (Exception e) {
            Check.that(e.getMessage() != null, "no reason given");
        }
    }

    private static void byUniqueId(Env env) throws Exception {
        String topic = env.createTopic("qunique", 2);
        List<Message> sent = env.messages(topic, "q", 6);
        List<SendResult> results = env.send(sent);
        for (int i = 0; i < sent.size(); i++) {
            String id = results.get(i).getMsgId();
            Message expected = sent.get(i);
            Check.eventually("index of " + id, () -> Shim.viewByUniqueId(env.producer(), topic, id) != null);
            MessageExt got = Shim.viewByUniqueId(env.producer(), topic, id);
            Check.same(expected, got);
            Check.equal("unique id", id, got.getMsgId());
        }
    }

    private static void byKey(Env env) throws Exception {
        String topic = env.createTopic("qkey", 2);
        long begin = System.currentTimeMillis() - 60_000;
        List<Message> sent = env.messages(topic, "q", 6);
        for (Message m : sent) {
            m.setKeys(m.getKeys() + " common");
        }
        // "Aa" and "BB" have one hash: the index returns both for either, and they are told apart by text.
        sent.get(4).setKeys("Aa-collide");
        sent.get(5).setKeys("BB-collide");
        env.send(sent);
        Check.eventually("4 messages by the common key", () -> keys(env, topic, "common", 32, begin).size() == 4);
        Check.equal("by the common key", new HashSet<>(Check.keys(sent.subList(0, 4))), keys(env, topic, "common", 32, begin));
        Check.equal("by its own key", Set.of("q-2 common"), keys(env, topic, "q-2", 32, begin));
        Check.equal("by a key that collides", Set.of("Aa-collide"), keys(env, topic, "Aa-collide", 32, begin));
        Check.equal("at most two", 2, keys(env, topic, "common", 2, begin).size());
        try {
            Check.equal("by a key that nobody has", Set.of(), keys(env, topic, "nobody", 32, begin));
        } catch (MQClientException e) {
            Check.that(e.getMessage().contains("no message") || e.getResponseCode() == 208, "reason: " + e);
        }
    }

    private static Set<String> keys(Env env, String topic, String key, int max, long begin) throws Exception {
        QueryResult r = env.producer().queryMessage(topic, key, max, begin, System.currentTimeMillis() + 60_000);
        for (MessageExt m : r.getMessageList()) {
            Check.equal("topic of a query's result", topic, m.getTopic());
        }
        return new HashSet<>(Check.keys(r.getMessageList()));
    }

    private static void create(Env env) throws Exception {
        String topic = env.createTopic("created", 6);
        List<Message> sent = env.messages(topic, "c", 12);
        env.spread(sent, 6);
        env.drainWhen(topic, 12);
        env.drain(topic).forEach((id, got) -> Check.equal("messages in queue " + id, 2, got.size()));
        env.setQueues(topic, 9);
        Check.exactly(sent, env.drainAll(topic));
    }
}
