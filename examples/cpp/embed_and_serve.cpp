// A server in this process that others can join: clients of this library, and Apache's in any language.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        // Free ports, as this is an example; listen=true has Apache's 9876 and 10911.
        ferromq::options settings = server_options();
        settings.set("listen", "free");
        ferromq::instance mq = count > 1 ? ferromq::open(arguments[1], settings) : ferromq::open_memory(settings);
        const std::string name_server = "127.0.0.1:" + std::to_string(mq.listening().value().first);
        std::cout << "name server at " << name_server << '\n';

        mq.create_topic("Served", 4);
        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_SERVED"), "Served", "*", [&](const ferromq::message_view &message) {
            arrived.send(std::string(message.text()));
        });

        // As another process would.
        ferromq::instance other = ferromq::connect(name_server);
        std::cout << "sent: " << other.producer(producer_group("visitors")).send({"Served", "over the network"}) << '\n';
        std::cout << "received: " << arrived.receive() << '\n';
        other.close();
        consumer.close();
        mq.close();
    });
}
