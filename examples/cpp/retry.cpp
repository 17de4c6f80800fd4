// Ways in which a listener asks for a message again. It comes again after 10 s, 30 s, 1 min and so on, 16 times by default,
// and then becomes a dead letter.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Retried", 4);
        ferromq::producer producer = mq.producer(producer_group("retry-producers"));
        for (const char *body : {"answer later", "exception"}) {
            producer.send({"Retried", body});
        }

        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_RETRY"), "Retried", "*", [&](const ferromq::message_view &message) {
            std::ostringstream line;
            line << "delivery " << message.reconsume_times() + 1 << " of \"" << message.text() << "\"\n";
            arrived.send(line.str());
            if (message.reconsume_times() > 0) {
                return ferromq::consume_status::success;
            }
            if (message.text() == "exception") {
                // Counts as the same, and ends nothing but this call.
                throw std::runtime_error("this example throws to be called again");
            }
            // The work failed: the message comes again.
            return ferromq::consume_status::later;
        });
        for (int delivery = 0; delivery < 4; ++delivery) {
            std::cout << arrived.receive();
        }
        consumer.close();
        mq.close();
    });
}
