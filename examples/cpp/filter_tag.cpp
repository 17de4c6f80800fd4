// A consumer that wants messages with some tags only. The broker filters, so the others do not travel.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Tagged", 1);
        ferromq::producer producer = mq.producer(producer_group("tag-producers"));
        for (const char *tag : {"TAGD", "TAGA", "TAGB", "TAGD", "TAGC"}) {
            producer.send(ferromq::message("Tagged", "body").tag(tag));
        }

        channel<std::string> arrived;
        const char *expression = "TAGA || TAGB || TAGC";
        auto consumer = subscribe(mq, consumer_group("CID_EXAMPLE"), "Tagged", expression, [&](const ferromq::message_view &message) {
            arrived.send(std::string(message.tag().value_or("")));
        });
        for (int wanted = 0; wanted < 3; ++wanted) {
            std::cout << "tag " << arrived.receive() << '\n';
        }
        consumer.close();
        // One that was not wanted would have come by now.
        if (!arrived.empty()) {
            throw std::runtime_error("more came than was wanted");
        }
        mq.close();
    });
}
