// Reads one queue to its end, at the program's own pace and with its own offsets: no group keeps anything.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Pulled", 2);
        ferromq::producer producer = mq.producer(producer_group("pull-producers"));
        const ferromq::queue queue = producer.queues("Pulled").at(0);
        const auto to_queue = ferromq::send_options().to(queue);
        for (int number = 0; number < 100; ++number) {
            producer.send({"Pulled", std::to_string(number)}, to_queue);
        }

        ferromq::consumer consumer = mq.consumer("");
        consumer.assign({queue});
        consumer.seek(queue, 0);
        const std::int64_t end = mq.max_offset(queue);
        for (std::int64_t offset = 0; offset < end;) {
            const ferromq::messages messages = consumer.poll(PATIENCE);
            if (messages.empty()) {
                throw std::runtime_error("the queue ends early");
            }
            std::cout << messages.size() << " messages from offset " << offset << ", the queue ends at " << end << '\n';
            offset = messages.back().queue_offset() + 1;
        }
        consumer.close();
        mq.close();
    });
}
