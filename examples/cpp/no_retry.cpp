// A listener that never wants a message again: it handles every failure itself and commits. What it cannot do is lost then,
// so this is rarely right.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Hopeless", 4);
        ferromq::producer producer = mq.producer(producer_group("no-retry-producers"));
        for (int number = 0; number < 5; ++number) {
            producer.send({"Hopeless", "not a number: " + std::to_string(number)});
        }

        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_NO_RETRY"), "Hopeless", "*", [&](const ferromq::message_view &message) {
            const std::string body(message.text());
            try {
                std::stoi(body);
                arrived.send(body + " is a number\n");
            } catch (const std::exception &error) {
                arrived.send("\"" + body + "\" is given up: " + error.what() + "\n");
            }
        });
        for (int number = 0; number < 5; ++number) {
            std::cout << arrived.receive();
        }
        consumer.close();
        mq.close();
    });
}
