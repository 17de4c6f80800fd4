package interop;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The consuming half of {@link Member}. */
final class MemberConsumers {
    private static final Map<String, DefaultMQPushConsumer> CONSUMERS = new ConcurrentHashMap<>();

    private MemberConsumers() {
    }

    static void register() {
        Member.VERBS.put("consumer", MemberConsumers::start);
        Member.VERBS.put("assigned", MemberConsumers::assigned);
    }

    /** Rooms stand before the @ of a broker's name and of a client's id. */
    private static final class Rooms implements AllocateMachineRoomNearby.MachineRoomResolver {
        @Override
        public String brokerDeployIn(MessageQueue queue) {
            return queue.getBrokerName().split("@")[0];
        }

        @Override
        public String consumerDeployIn(String client) {
            return client.split("@")[0];
        }
    }

    private static AllocateMessageQueueStrategy strategy(String name) {
        switch (name) {
            case "AVG":
                return new AllocateMessageQueueAveragely();
            case "AVG_BY_CIRCLE":
                return new AllocateMessageQueueAveragelyByCircle();
            case "CONSISTENT_HASH":
                return new AllocateMessageQueueConsistentHash();
            case "MACHINE_ROOM":
                AllocateMessageQueueByMachineRoom rooms = new AllocateMessageQueueByMachineRoom();
                rooms.setConsumeridcs(new TreeSet<>(List.of("r1")));
                return rooms;
            case "MACHINE_ROOM_NEARBY":
                return new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(), new Rooms());
            default:
                throw new IllegalArgumentException("no strategy " + name);
        }
    }

    private static Map<String, Object> start(Member.Args a) throws Exception {
        DefaultMQPushConsumer c = a.has("trace") ? new DefaultMQPushConsumer(a.get("group"), true, null)
            : new DefaultMQPushConsumer(a.get("group"));
        MemberProducers.configure(c, a);
        c.setAllocateMessageQueueStrategy(strategy(a.get("strategy", "AVG")));
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setConsumeThreadMin(2);
        c.setConsumeThreadMax(2);
        c.setAwaitTerminationMillisWhenShutdown(2000);
        c.setMaxReconsumeTimes(a.number("retries", -1));
        if (a.get("model", "").equals("BROADCASTING")) {
            Shim.broadcasting(c);
        }
        if (a.has("sql")) {
            c.subscribe(a.get("topic"), MessageSelector.bySql(a.get("sql")));
        } else {
            c.subscribe(a.get("topic"), a.get("expr", "*"));
        }
        listen(c, a);
        c.start();
        CONSUMERS.put(a.get("name"), c);
        Member.OPEN.put(a.get("name"), c::shutdown);
        return Member.map("client", c.buildMQClientId());
    }

    private static void listen(DefaultMQPushConsumer c, Member.Args a) throws Exception {
        DefaultMQProducer answers = a.has("answer") ? new DefaultMQProducer(a.get("group") + "-answers") : null;
        if (answers != null) {
            MemberProducers.configure(answers, a);
            answers.setInstanceName("answers-" + a.get("name"));
            answers.start();
        }
        int slow = a.number("slow", 0);
        if (a.has("orderly")) {
            c.registerMessageListener((MessageListenerOrderly) (msgs, context) -> {
                msgs.forEach(m -> told(a, m));
                pause(slow);
                return ConsumeOrderlyStatus.SUCCESS;
            });
            return;
        }
        c.registerMessageListener((MessageListenerConcurrently) (msgs, context) -> {
            msgs.forEach(m -> told(a, m));
            pause(slow);
            if (answers != null) {
                try {
                    Message reply = MessageUtil.createReplyMessage(msgs.get(0), (a.get("answer") + new String(msgs.get(0).getBody())).getBytes());
                    answers.send(reply, 10_000);
                } catch (Exception e) {
                    e.printStackTrace();
                }
            }
            boolean again = msgs.get(0).getReconsumeTimes() < a.number("fail", 0);
            return again ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
    }

    private static void pause(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void told(Member.Args a, MessageExt m) {
        Map<String, Object> told = Member.map("name", a.get("name"), "topic", m.getTopic(), "hex", Member.hex(m.getBody()),
            "queue", m.getQueueId(), "offset", m.getQueueOffset(), "times", m.getReconsumeTimes(), "id", m.getMsgId(),
            "flag", m.getFlag(), "broker", m.getBrokerName(), "log", m.getCommitLogOffset(), "sysflag", m.getSysFlag(),
            "offsetid", ((MessageClientExt) m).getOffsetMsgId(), "born", m.getBornTimestamp(), "bornhost", address(m.getBornHost()),
            "stored", m.getStoreTimestamp(), "tag", m.getTags(), "keys", m.getKeys());
        m.getProperties().forEach((k, v) -> told.put("p." + k, v));
        Member.event("got", told);
    }

    private static String address(SocketAddress host) {
        InetSocketAddress address = (InetSocketAddress) host;
        return address.getAddress().getHostAddress() + ":" + address.getPort();
    }

    /** The queues of the topic that the consumer holds now. */
    private static Map<String, Object> assigned(Member.Args a) {
        DefaultMQPushConsumer c = CONSUMERS.get(a.get("name"));
        StringBuilder all = new StringBuilder();
        c.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().forEach((q, processed) -> {
            if (q.getTopic().equals(a.get("topic")) && !processed.isDropped()) {
                all.append(all.length() == 0 ? "" : ",").append(q.getBrokerName()).append(':').append(q.getQueueId());
            }
        });
        return Member.map("queues", all.toString());
    }
}
