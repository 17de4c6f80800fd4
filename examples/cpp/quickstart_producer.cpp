// A producer as a service has it: made once from settings, used for all messages, closed at the end.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        // The settings, as they would stand in a file: Apache's keys. The group may come from the environment.
        ferromq::producer producer = mq.producer(producer_group("group_example_java"),
                                                 {{"retryTimesWhenSendFailed", "3"},
                                                  {"retryTimesWhenSendAsyncFailed", "3"},
                                                  {"retryAnotherBrokerWhenNotStoreOK", "true"}});
        int stored = 0;
        for (int number = 0; number <= 10'000; ++number) {
            const std::string body = "Hello Java Demo RocketMQ:" + std::to_string(number);
            try {
                const ferromq::sent sent = producer.send(ferromq::message("topic_example_java", body).tag("TagA"));
                std::cout << "result of the send: " << sent << '\n';
                ++stored;
            } catch (const ferromq::error &error) {
                std::cerr << "not sent: " << error.what() << '\n';
            }
        }
        std::cout << "stored: " << stored << '\n';
        producer.close();
        mq.close();
    });
}
