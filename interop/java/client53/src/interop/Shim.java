package interop;

import java.util.Map;
import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** What the 5.3 client calls otherwise than the 4.9 one, and the cases that only its tools can run. */
final class Shim {
    private Shim() {
    }

    static void register() {
        ToolCases.register();
        AdminTopics.register();
        AdminGroups.register();
        AdminMessages.register();
        StoreCases.register();
    }

    /** What only this line's members can do: mqadmin. */
    static void registerVerbs() {
        Member.VERBS.put("mqadmin", a -> Member.map("text", ToolCases.mqadmin(a.get("args").split(" "))));
    }

    static void createTopic(DefaultMQProducer producer, String topic, int queues) throws Exception {
        producer.createTopic("TBW102", topic, queues, Map.of());
    }

    static MessageExt viewByOffsetId(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.getDefaultMQProducerImpl().getMqClientFactory().getMQAdminImpl().viewMessage(topic, id);
    }

    static MessageExt viewByUniqueId(DefaultMQProducer producer, String topic, String id) throws Exception {
        return producer.viewMessage(topic, id);
    }

    static void broadcasting(DefaultMQPushConsumer consumer) {
        consumer.setMessageModel(MessageModel.BROADCASTING);
    }

    static DefaultMQProducer compressing(String type, Supplier<DefaultMQProducer> make) {
        DefaultMQProducer producer = make.get();
        producer.setCompressType(CompressionType.of(type));
        return producer;
    }

    /** A pull consumer that leaves compressed bodies and their flags as they are stored; this line clears the flags. */
    static DefaultMQPullConsumer rawPull(Supplier<DefaultMQPullConsumer> make) {
        DefaultMQPullConsumer consumer = make.get();
        consumer.setDecodeDecompressBody(false);
        return consumer;
    }
}
