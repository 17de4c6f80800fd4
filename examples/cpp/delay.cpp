// Messages that arrive later: delay level 3 is 10 s with the broker's default table.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        const int expected = std::stoi(from_environment("EXPECTED_MS", "10000"));
        mq.create_topic("TestTopic", 4);
        ferromq::producer producer = mq.producer(producer_group("ExampleProducerGroup"));
        for (int number = 0; number < 100; ++number) {
            const std::string body = "Hello scheduled message " + std::to_string(number);
            producer.send(ferromq::message("TestTopic", body).delay_level(3));
        }

        channel<std::int64_t> arrived;
        auto consumer = subscribe(mq, consumer_group("ExampleConsumer"), "TestTopic", "*", [&](const ferromq::message_view &message) {
            const auto now = std::chrono::system_clock::now().time_since_epoch();
            arrived.send(std::chrono::duration_cast<std::chrono::milliseconds>(now).count() - message.born_timestamp());
        });
        for (int number = 0; number < 100; ++number) {
            const std::int64_t delay = arrived.receive();
            std::cout << "message " << number << " arrived " << delay << " ms after it was sent\n";
            if (delay < expected) {
                throw std::runtime_error("that is earlier than " + std::to_string(expected) + " ms");
            }
        }
        consumer.close();
        mq.close();
    });
}
