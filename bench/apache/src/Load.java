import java.lang.management.ManagementFactory;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import com.sun.management.OperatingSystemMXBean;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/**
 * Apache's Java client as a load. `send NAMESRV TOPIC WARM-UP-MS MS`: 64 threads send 1 KiB and wait for each answer.
 * `drain NAMESRV TOPIC COUNT`: a push consumer of a new group, from the first message until it got so many. Prints
 * `found MESSAGES SECONDS PROCESSOR-SECONDS ERRORS ALL-MESSAGES`: the first three of the measured time, the others also of the
 * warm-up.
 */
public final class Load {
    private static final int THREADS = 64;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("send")) {
            send(args[1], args[2], Long.parseLong(args[3]), Long.parseLong(args[4]));
        } else {
            drain(args[1], args[2], Long.parseLong(args[3]));
        }
        System.exit(0);
    }

    private static void send(String namesrv, String topic, long warmUp, long time) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("bench-java-producer");
        producer.setNamesrvAddr(namesrv);
        producer.start();
        byte[] body = new byte[1024];
        AtomicLong sent = new AtomicLong();
        AtomicLong failed = new AtomicLong();
        for (int n = 0; n < THREADS; n++) {
            Thread thread = new Thread(() -> {
                while (true) {
                    try {
                        SendResult result = producer.send(new Message(topic, body));
                        sent.incrementAndGet();
                        if (result.getSendStatus() != SendStatus.SEND_OK) {
                            fault(failed, result);
                        }
                    } catch (Exception e) {
                        fault(failed, e);
                    }
                }
            });
            thread.setDaemon(true);
            thread.start();
        }
        Thread.sleep(warmUp);
        long before = sent.get();
        long start = System.nanoTime();
        long processor = processorTime();
        Thread.sleep(time);
        long took = System.nanoTime() - start;
        long all = sent.get();
        found(all - before, took, processorTime() - processor, failed.get(), all);
    }

    private static void fault(AtomicLong failed, Object what) {
        if (failed.incrementAndGet() == 1) {
            System.err.println("the first failure: " + what);
        }
    }

    private static void drain(String namesrv, String topic, long count) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("bench-java-consumer-" + topic);
        consumer.setNamesrvAddr(namesrv);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.subscribe(topic, "*");
        AtomicLong got = new AtomicLong();
        AtomicLong start = new AtomicLong();
        CountDownLatch all = new CountDownLatch(1);
        long processor = processorTime();
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            start.compareAndSet(0, System.nanoTime());
            if (got.addAndGet(messages.size()) >= count) {
                all.countDown();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        if (!all.await(300, TimeUnit.SECONDS)) {
            System.out.println("after 300 s only " + got.get() + " of " + count + " messages had come");
            return;
        }
        found(count, System.nanoTime() - start.get(), processorTime() - processor, 0, count);
    }

    private static long processorTime() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static void found(long messages, long nanos, long processor, long errors, long all) {
        System.out.println(
                "found " + messages + " " + nanos / 1e9 + " " + processor / 1e9 + " " + errors + " " + all);
    }
}
