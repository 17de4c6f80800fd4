package interop;

import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Assertions whose messages say what differs. */
public final class Check {
    /** What a failed assertion throws; its message is the whole report. */
    public static final class Failure extends RuntimeException {
        Failure(String why) {
            super(why);
        }
    }

    /** Properties that clients and brokers put beside the user's own. */
    private static final Set<String> RESERVED = new HashSet<>(Arrays.asList("UNIQ_KEY", "WAIT", "MSG_REGION", "TRACE_ON",
        "CLUSTER", "MIN_OFFSET", "MAX_OFFSET", "CONSUME_START_TIME", "DELAY", "REAL_TOPIC", "REAL_QID", "RETRY_TOPIC",
        "ORIGIN_MESSAGE_ID", "EXTEND_UNIQ_INFO", "RECONSUME_TIME", "MAX_RECONSUME_TIMES", "DLQ_ORIGIN_TOPIC",
        "DLQ_ORIGIN_MESSAGE_ID", "TIMER_DELAY_LEVEL", "TRANSACTION_CHECK_TIMES"));

    private Check() {
    }

    static Failure failure(String why) {
        return new Failure(why);
    }

    static void that(boolean holds, String why) {
        if (!holds) {
            throw failure(why);
        }
    }

    static void equal(String what, Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw failure(what + ": expected " + shorten(expected) + ", got " + shorten(actual));
        }
    }

    private static String shorten(Object o) {
        String s = String.valueOf(o);
        return s.length() > 600 ? s.substring(0, 600) + "…" : s;
    }

    /** The received message is the sent one: body, topic, tags, keys, flag and exactly its user properties. */
    static void same(Message sent, MessageExt got) {
        String who = "message " + sent.getKeys() + " in queue " + got.getQueueId() + " at " + got.getQueueOffset();
        sameBut(who, sent, got);
        equal(who + ": topic", sent.getTopic(), got.getTopic());
    }

    /** As {@link #same}, for a message that lies in another topic now (retry, dead letters). */
    static void sameBut(String who, Message sent, MessageExt got) {
        if (!Arrays.equals(sent.getBody(), got.getBody())) {
            throw failure(who + ": body of " + sent.getBody().length + " bytes came back as " + got.getBody().length
                + " bytes" + (got.getBody().length < 200 ? " " + new String(got.getBody()) : ""));
        }
        equal(who + ": tags", sent.getTags(), got.getTags());
        equal(who + ": keys", sent.getKeys(), got.getKeys());
        equal(who + ": flag", sent.getFlag(), got.getFlag());
        Map<String, String> expected = new HashMap<>(sent.getProperties());
        Map<String, String> actual = new HashMap<>(got.getProperties());
        expected.keySet().removeAll(RESERVED);
        actual.keySet().removeAll(RESERVED);
        equal(who + ": properties", expected, actual);
        that(got.getProperty("UNIQ_KEY") != null, who + ": no UNIQ_KEY");
    }

    /** Exactly the sent messages were received, each once and unchanged; their keys tell them apart. */
    static void exactly(Collection<? extends Message> sent, Collection<MessageExt> got) {
        Map<String, Message> open = new HashMap<>();
        for (Message m : sent) {
            that(open.put(m.getKeys(), m) == null, "the test sent key " + m.getKeys() + " twice");
        }
        Set<String> seen = new HashSet<>();
        for (MessageExt m : got) {
            Message s = open.get(m.getKeys());
            that(s != null, "received a message that was not to come: keys " + m.getKeys() + " of " + m.getTopic()
                + " queue " + m.getQueueId() + " at " + m.getQueueOffset() + " reconsumed " + m.getReconsumeTimes());
            that(seen.add(m.getKeys()), "received twice: keys " + m.getKeys() + " of " + m.getTopic());
            same(s, m);
        }
        open.keySet().removeAll(seen);
        that(open.isEmpty(), "never received (" + open.size() + " of " + sent.size() + "): " + shorten(open.keySet()));
    }

    /** Polls until the condition holds; fails with {@code what} after {@link Env#PATIENCE}. */
    static void eventually(String what, Callable<Boolean> condition) throws Exception {
        eventually(what, Env.PATIENCE, condition);
    }

    /** As {@link #eventually(String, Callable)}, with a patience of its own in ms. */
    static void eventually(String what, long patience, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + patience * 1_000_000L;
        Exception last = null;
        while (System.nanoTime() < end) {
            try {
                if (condition.call()) {
                    return;
                }
                last = null;
            } catch (Failure f) {
                throw f;
            } catch (Exception e) {
                last = e;
            }
            Thread.sleep(50);
        }
        throw failure("not within " + patience + " ms: " + what + (last == null ? "" : " (last: " + last + ")"));
    }

    /** The keys, in order. */
    static List<String> keys(Collection<? extends Message> messages) {
        return messages.stream().map(Message::getKeys).toList();
    }
}
