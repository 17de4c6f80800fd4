// A consumer that wants messages whose properties an SQL92 expression holds for. A broker that runs by itself needs
// enablePropertyFilter=true; an embedded one filters as it is.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("TopicTest", 1);
        ferromq::producer producer = mq.producer(producer_group("sql-producers"));
        for (int a = 0; a < 10; ++a) {
            producer.send(ferromq::message("TopicTest", "body").property("a", std::to_string(a)));
        }

        channel<std::string> arrived;
        ferromq::push_consumer consumer = mq.push_consumer(consumer_group("please_rename_unique_group_name_4"), from_first());
        consumer.subscribe_sql("TopicTest", "a between 0 and 3");
        consumer.listen([&](const ferromq::message_list &messages) {
            for (const ferromq::message_view message : messages) {
                arrived.send(std::string(message.property("a").value_or("")));
            }
        });
        consumer.start();
        for (int wanted = 0; wanted < 4; ++wanted) {
            std::cout << "a = " << arrived.receive() << '\n';
        }
        consumer.close();
        if (!arrived.empty()) {
            throw std::runtime_error("more came than was wanted");
        }
        mq.close();
    });
}
