// The first program: send some messages and consume them.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Greetings", 4);

        ferromq::producer producer = mq.producer(producer_group("greeters"));
        for (int number = 0; number < 10; ++number) {
            const ferromq::sent sent = producer.send({"Greetings", "hello " + std::to_string(number)});
            std::cout << "sent: " << sent << '\n';
        }

        channel<std::string> arrived;
        ferromq::push_consumer consumer = mq.push_consumer(consumer_group("listeners"), from_first());
        consumer.subscribe("Greetings", "*");
        consumer.listen([&](const ferromq::message_list &messages) {
            for (const ferromq::message_view message : messages) {
                std::ostringstream line;
                line << "received: " << message.text() << " (" << message.id() << ")\n";
                arrived.send(line.str());
            }
        });
        consumer.start();
        for (int number = 0; number < 10; ++number) {
            std::cout << arrived.receive();
        }
        consumer.close();
        producer.close();
        mq.close();
    });
}
