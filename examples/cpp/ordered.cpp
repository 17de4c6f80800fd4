// The steps of an order in their order, while different orders go side by side: all steps of an order go to one queue, one
// after the other, and a queue is consumed by one thread at a time.
#include <algorithm>
#include <array>
#include <map>

#include "examples.hpp"

constexpr std::array<const char *, 4> STEPS{"created", "paid", "pushed", "completed"};
constexpr int ORDERS = 100;

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("OrderSteps", 4);
        ferromq::producer producer = mq.producer(producer_group("order-producers"));
        for (const char *step : STEPS) {
            for (int order = 0; order < ORDERS; ++order) {
                const std::string id = std::to_string(order);
                producer.send(ferromq::message("OrderSteps", step).key(id),
                              ferromq::send_options().sharding_key(id));
            }
        }

        channel<std::string> arrived;
        std::mutex mutex;
        std::map<std::string, std::ptrdiff_t> reached;
        ferromq::push_consumer consumer = mq.push_consumer(consumer_group("order-consumers"), from_first());
        consumer.subscribe("OrderSteps", "*");
        consumer.listen_orderly([&](const ferromq::message_list &messages) {
            for (const ferromq::message_view message : messages) {
                const std::string order(message.keys().value_or(""));
                const std::lock_guard lock(mutex);
                std::ptrdiff_t &next = reached[order];
                // A step that was seen before is a second delivery, which may happen; one that comes early must not.
                const auto step = std::find(STEPS.begin(), STEPS.end(), message.text()) - STEPS.begin();
                arrived.send(step <= next ? "a step of order " + order : "order " + order + " is out of step");
                next = std::max(next, step + 1);
            }
        });
        consumer.start();
        for (int consumed = 0; consumed < ORDERS * static_cast<int>(STEPS.size()); ++consumed) {
            const std::string line = arrived.receive();
            if (line.rfind("order", 0) == 0) {
                throw std::runtime_error(line);
            }
            std::cout << line << '\n';
        }
        consumer.close();
        producer.close();
        mq.close();
    });
}
