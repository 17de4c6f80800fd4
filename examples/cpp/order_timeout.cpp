// An order that is not paid in time is cancelled: a message that arrives an hour after the order looks whether it was paid, and
// gives its goods back if not.
#include <map>

#include "examples.hpp"

// One hour with the broker's default table.
constexpr int LEVEL = 17;

struct shop {
    std::mutex mutex;
    int stock = 10;
    std::map<std::string, std::string> orders;

    void show() {
        const std::lock_guard lock(mutex);
        std::cout << stock << " pieces, orders";
        for (const auto &[order, state] : orders) {
            std::cout << ' ' << order << ": " << state;
        }
        std::cout << '\n';
    }
};

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("OrderTimeout", 4);
        shop shop;
        ferromq::producer producer = mq.producer(producer_group("shops"));
        for (const char *order : {"A", "B", "C", "D"}) {
            --shop.stock;
            shop.orders[order] = "placed";
            producer.send(ferromq::message("OrderTimeout", "look").key(order).delay_level(LEVEL));
        }
        shop.orders["B"] = shop.orders["D"] = "paid";
        shop.show();

        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_TIMEOUT"), "OrderTimeout", "*", [&](const ferromq::message_view &message) {
            const std::string order(message.keys().value_or(""));
            const std::lock_guard lock(shop.mutex);
            // Only an order that is still open: a second delivery finds it cancelled.
            if (shop.orders[order] == "placed") {
                shop.orders[order] = "cancelled";
                ++shop.stock;
                arrived.send("order " + order + " was not paid: cancelled\n");
            } else {
                arrived.send("");
            }
        });
        for (int order = 0; order < 4; ++order) {
            // With the default table this is an hour.
            std::cout << arrived.receive(PATIENCE + std::chrono::hours(1));
        }
        consumer.close();
        shop.show();
        mq.close();
    });
}
