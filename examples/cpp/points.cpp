// Three groups consume the same payments: points, activity, coupons. When one of them fails, the message comes again for this
// group alone; the others are not charged twice.
#include <map>

#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Payments", 4);
        ferromq::producer producer = mq.producer(producer_group("payers"));
        for (int order = 0; order < 3; ++order) {
            producer.send({"Payments", "order " + std::to_string(order)});
        }

        channel<std::tuple<std::string, std::string, bool>> arrived;
        std::vector<ferromq::push_consumer> consumers;
        for (const std::string group : {"points", "activity", "coupons"}) {
            consumers.push_back(subscribe(mq, group, "Payments", "*", [&, group](const ferromq::message_view &message) {
                const bool fails = group == "points" && message.reconsume_times() == 0;
                arrived.send({group, std::string(message.text()), fails});
                return fails ? ferromq::consume_status::later : ferromq::consume_status::success;
            }));
        }
        std::map<std::string, int> deliveries;
        for (int booked = 0; booked < 9;) {
            const auto [group, body, fails] = arrived.receive();
            std::cout << group << ": " << body << (fails ? " fails" : " booked") << '\n';
            ++deliveries[group];
            booked += fails ? 0 : 1;
        }
        for (ferromq::push_consumer &consumer : consumers) {
            consumer.close();
        }
        for (const auto &[group, times] : deliveries) {
            std::cout << group << " got " << times << " deliveries\n";
        }
        mq.close();
    });
}
