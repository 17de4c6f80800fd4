// A consumer that is asked: it counts what the program quickstart_producer sends, as a loop over messages.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        ferromq::consumer consumer = mq.consumer(consumer_group("counters"), from_first());
        mq.create_topic("topic_example_java", 4);
        consumer.subscribe("topic_example_java", "TagA");
        int counted = 0;
        // A service would go on until it is told to end: for (auto message : consumer).
        for (const ferromq::message_view message : consumer.until_idle(std::chrono::seconds(5))) {
            if (++counted % 1'000 == 0) {
                std::cout << counted << ": " << message.text() << '\n';
            }
        }
        std::cout << "counted: " << counted << '\n';
        consumer.close();
        mq.close();
    });
}
