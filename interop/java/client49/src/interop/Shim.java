package interop;

import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** What the 4.9 client calls otherwise than the 5.3 one. */
final class Shim {
    private Shim() {
    }

    static void register() {
    }

    /** Nothing that members of the other line could not do as well. */
    static void registerVerbs() {
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues);
    }

    static MessageExt viewByOffsetId(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.viewMessage(id);
    }

    static MessageExt viewByUniqueId(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.viewMessage(topic, id);
    }

    static void broadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    /** 4.9 has no setter that works: its producers read the type from a system property when they are made. */
    static synchronized DefaultMQProducer compressing(String type, Supplier<DefaultMQProducer> make) {
        System.setProperty(MixAll.MESSAGE_COMPRESS_TYPE, type);
        try {
            return make.get();
        } finally {
            System.clearProperty(MixAll.MESSAGE_COMPRESS_TYPE);
        }
    }

    /** A pull consumer whose messages show the flags as stored: here every one does. */
    static DefaultMQPullConsumer rawPull(Supplier<DefaultMQPullConsumer> make) {
        return make.get();
    }
}
