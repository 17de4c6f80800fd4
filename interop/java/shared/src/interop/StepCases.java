package interop;

import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Parts of scenarios between which the runner kills and restarts processes. */
final class StepCases {
    private StepCases() {
    }

    static void register() {
        Driver.add("await", StepCases::await);
        Driver.add("unregistered", StepCases::unregistered);
        Driver.add("kill.join", StepCases::killJoin);
        Driver.add("kill.before", StepCases::killBefore);
        Driver.add("kill.after", StepCases::killAfter);
        Driver.add("restart.before", StepCases::restartBefore);
        Driver.add("restart.after", StepCases::restartAfter);
        Driver.add("from.old", StepCases::fromOld);
        Driver.add("from.filler", StepCases::fromFiller);
        Driver.add("from.kept", StepCases::fromKept);
        Driver.add("from.first", StepCases::fromFirst);
        Driver.add("from.last", StepCases::fromLast);
        Driver.add("from.timestamp", StepCases::fromTimestamp);
        Driver.add("crowd", StepCases::crowd);
    }

    /** The broker is registered. */
    private static void await(Env env) throws Exception {
        Check.eventually("route of TBW102 at " + env.param("ns"),
            () -> !env.producer().fetchPublishMessageQueues("TBW102").isEmpty());
    }

    /** The only broker has left: its topics have no route, long before its heartbeat would expire. */
    private static void unregistered(Env env) throws Exception {
        Check.eventually("no route of TBW102 at " + env.param("ns"), () -> {
            try {
                return env.producer().fetchPublishMessageQueues("TBW102").isEmpty();
            } catch (MQClientException e) {
                return true;
            }
        });
    }

    /** In the process that will be killed: joins the group and consumes until the end comes. */
    private static void killJoin(Env env) throws Exception {
        String topic = env.topic("kill");
        env.keep("victim", env.inbox(env.group("kill"), topic, "*"));
        env.<Env.Inbox>kept("victim").awaitQueues(topic, 4);
        env.leaveOpen();
    }

    private static void killStart(Env env) throws Exception {
        String topic = env.createTopic("kill", 8);
        Env.Inbox box = env.inbox(env.group("kill"), topic, "*");
        box.awaitQueues(topic, 8);
        env.keep("survivor", box);
        env.leaveOpen();
    }

    /** The survivor; with step=start before the victim joins, with step=share afterwards: it holds half and gets half. */
    private static void killBefore(Env env) throws Exception {
        if (env.param("step").equals("start")) {
            killStart(env);
            return;
        }
        String topic = env.topic("kill");
        Env.Inbox box = env.kept("survivor");
        box.awaitQueues(topic, 4);
        List<Message> sent = env.messages(topic, "shared", 80);
        env.spread(sent, 8);
        Check.eventually("half of the messages", () -> box.count() >= 40);
        Thread.sleep(Env.SILENCE);
        Check.equal("share of the survivor", 40, box.count());
        env.keep("shared", sent);
    }

    /** After the kill: all queues come to the survivor, what is sent now arrives once, what was sent before is not lost. */
    private static void killAfter(Env env) throws Exception {
        String topic = env.topic("kill");
        Env.Inbox box = env.kept("survivor");
        box.awaitQueues(topic, 8);
        List<Message> fresh = env.messages(topic, "fresh", 80);
        env.spread(fresh, 8);
        Check.eventually("80 fresh messages", () -> box.all().stream().filter(m -> m.getKeys().startsWith("fresh")).count() >= 80);
        Thread.sleep(Env.SILENCE);
        Check.exactly(fresh, box.all().stream().filter(m -> m.getKeys().startsWith("fresh")).toList());
        // The dead one may have left messages uncommitted; those come again, others must not.
        Map<String, Message> shared = new HashMap<>();
        env.<List<Message>>kept("shared").forEach(m -> shared.put(m.getKeys(), m));
        for (MessageExt m : box.all()) {
            if (!m.getKeys().startsWith("fresh")) {
                Check.same(shared.get(m.getKeys()), m);
            }
        }
        box.consumer.shutdown();
        Check.equal("committed offsets", env.ends(topic), env.committed(env.group("kill"), topic));
    }

    /** One group stays connected over the restart, one has stopped half way; one message waits for its delay (level 18). */
    private static void restartBefore(Env env) throws Exception {
        String topic = env.createTopic("broker", 6);
        List<Message> sent = env.messages(topic, "before", 60);
        env.spread(sent, 6);
        Env.Inbox stopped = env.inbox(env.group("stopped"), topic, "*");
        stopped.expect(sent);
        stopped.consumer.shutdown();
        List<Message> missed = env.messages(topic, "missed", 30);
        env.spread(missed, 6);
        Env.Inbox stays = env.inbox(env.group("stays"), topic, "*");
        List<Message> all = new ArrayList<>(sent);
        all.addAll(missed);
        stays.expect(all);
        Message waiting = new Message(topic, "W", "waiting", "delivered after the restart".getBytes());
        waiting.setDelayTimeLevel(18);
        env.send(List.of(waiting));
        missed.add(waiting);
        env.keep("missed", missed);
        env.keep("stays", stays);
        env.keep("ends", env.ends(topic));
        env.leaveOpen();
    }

    private static void restartAfter(Env env) throws Exception {
        String topic = env.topic("broker");
        Env.Inbox stays = env.kept("stays");
        stays.clear();
        Check.eventually("the broker again", () -> env.producer().fetchPublishMessageQueues(topic).size() == 6
            && env.ends(topic).size() == 6);
        Map<Integer, Long> ends = env.ends(topic);
        env.<Map<Integer, Long>>kept("ends").forEach((q, end) ->
            Check.that(ends.get(q) >= end, "queue " + q + " ended at " + end + " before the restart, now at " + ends.get(q)));
        List<Message> after = env.messages(topic, "after", 60);
        Check.eventually("a send after the restart", () -> {
            env.spread(after.subList(0, 1), 6);
            return true;
        });
        env.spread(after.subList(1, after.size()), 6);
        List<Message> missed = env.kept("missed");
        List<Message> expected = new ArrayList<>(missed);
        expected.addAll(after);
        Env.Inbox again = env.inbox(env.group("stopped"), topic, "*");
        again.expect(expected);
        List<Message> fresh = new ArrayList<>(after);
        fresh.add(missed.get(missed.size() - 1));
        stays.expect(fresh);
        stays.consumer.shutdown();
        again.consumer.shutdown();
        Check.equal("committed by the one that stayed", env.ends(topic), env.committed(env.group("stays"), topic));
        Check.equal("committed by the one that came back", env.ends(topic), env.committed(env.group("stopped"), topic));
    }

    /** The first messages of the topic, which the runner lets disappear with the first commit log file. */
    private static void fromOld(Env env) throws Exception {
        String topic = env.createTopic("from", 4);
        env.spread(env.messages(topic, "old", 40), 4);
        env.drainWhen(topic, 40);
    }

    /** Fills more than the rest of the first commit log file. */
    private static void fromFiller(Env env) throws Exception {
        String topic = env.createTopic("filler", 1);
        Random random = new Random(9);
        for (long left = Long.parseLong(env.param("bytes")); left > 0; left -= 64 << 10) {
            byte[] body = new byte[64 << 10];
            random.nextBytes(body);
            env.send(List.of(new Message(topic, body)));
        }
    }

    /** Messages that stay, half of them before a moment that is remembered, half after it. */
    private static void fromKept(Env env) throws Exception {
        String topic = env.topic("from");
        List<Message> early = env.messages(topic, "early", 20);
        List<Message> late = env.messages(topic, "late", 20);
        env.spread(early, 4);
        Thread.sleep(1100);
        // Whole seconds, as the consumer's setting has them; all of early is before it, all of late after.
        String moment = new SimpleDateFormat("yyyyMMddHHmmss").format(new Date());
        Thread.sleep(1100);
        env.spread(late, 4);
        env.keep("early", early);
        env.keep("late", late);
        env.keep("moment", moment);
    }

    private static void beginAboveZero(Env env) throws Exception {
        Check.equal("starts of the queues", new TreeMap<>(Map.of(0, 10L, 1, 10L, 2, 10L, 3, 10L)), env.starts(env.topic("from")));
    }

    private static Env.Inbox from(Env env, String group, ConsumeFromWhere where) throws Exception {
        String topic = env.topic("from");
        beginAboveZero(env);
        Env.Inbox box = new Env.Inbox(env.push(env.group(group)));
        box.consumer.setConsumeFromWhere(where);
        if (where == ConsumeFromWhere.CONSUME_FROM_TIMESTAMP) {
            box.consumer.setConsumeTimestamp(env.kept("moment"));
        }
        box.consumer.subscribe(topic, "*");
        box.listen();
        box.consumer.start();
        box.awaitQueues(topic, 4);
        return box;
    }

    private static void fromFirst(Env env) throws Exception {
        List<Message> all = new ArrayList<>(env.<List<Message>>kept("early"));
        all.addAll(env.kept("late"));
        from(env, "from-first", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET).expect(all);
    }

    private static void fromTimestamp(Env env) throws Exception {
        from(env, "from-time", ConsumeFromWhere.CONSUME_FROM_TIMESTAMP).expect(env.<List<Message>>kept("late"));
    }

    /** Run after the two others, as it sends. */
    private static void fromLast(Env env) throws Exception {
        Env.Inbox box = from(env, "from-last", ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET);
        List<Message> fresh = env.messages(env.topic("from"), "fresh", 12);
        env.spread(fresh, 4);
        box.expect(fresh);
    }

    /** Many groups on one topic: every group gets everything. */
    private static void crowd(Env env) throws Exception {
        String topic = env.createTopic("crowd", 4);
        List<Message> sent = env.messages(topic, "c", 40);
        List<Env.Inbox> boxes = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            boxes.add(env.inbox(env.group("crowd" + i), topic, "*"));
        }
        env.spread(sent, 4);
        for (Env.Inbox box : boxes) {
            box.expect(sent);
        }
        Check.equal("queues of a member", Set.of(4), Set.of(boxes.get(0).queues(topic)));
    }
}
