// An order and the message about it, together or not at all. The shop writes the order in its own database; the cart service
// clears the cart when it gets the message, which it does if and only if the order was committed. What the cart service makes
// of the message is its own business: if it fails it gets the message again, and the order stays.
#include <map>
#include <set>

#include "examples.hpp"

using ferromq::transaction_state;

static bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("OrdersPlaced", 4);
        // The shop's database: which orders were committed, by transaction.
        std::mutex mutex;
        std::map<std::string, std::string> committed;

        // The local transaction, once the broker holds the message back for us.
        const auto execute = [&](ferromq::outgoing_view message, std::string_view id) {
            const std::string order(message.text());
            if (ends_with(order, "without money")) {
                std::cout << order << ": rolled back\n";
                return transaction_state::rollback;
            }
            const std::lock_guard lock(mutex);
            committed.emplace(id, order);
            std::cout << order << ": committed\n";
            // The answer may get lost: this one does not give it, so the broker will ask.
            return ends_with(order, "with a slow answer") ? transaction_state::unknown : transaction_state::commit;
        };
        // The broker asks, this producer or another of the group, perhaps after a crash: look into the database.
        const auto check = [&](ferromq::message_view message) {
            const std::lock_guard lock(mutex);
            return committed.count(std::string(message.id())) ? transaction_state::commit : transaction_state::rollback;
        };
        // A group of its own: brokers ask any producer of the group how a transaction ended.
        auto producer = mq.transaction_producer(producer_group("shop-transactions"), execute, check);
        for (const char *order : {"order 1", "order 2 without money", "order 3 with a slow answer"}) {
            // Ask after a second, not after the broker's transactionTimeOut.
            const auto [sent, state] = producer.send(
                ferromq::message("OrdersPlaced", order).transaction_check_immunity(std::chrono::seconds(1)));
            static constexpr const char *NAMES[] = {"Commit", "Rollback", "Unknown"};
            std::cout << NAMES[static_cast<int>(state)] << ": " << sent << '\n';
        }

        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_CART"), "OrdersPlaced", "*", [&](const ferromq::message_view &message) {
            const std::string order(message.text());
            if (message.reconsume_times() == 0 && order == "order 1") {
                std::cout << "the cart of " + order + " is not cleared yet: its service has a problem\n";
                return ferromq::consume_status::later;
            }
            arrived.send(order);
            return ferromq::consume_status::success;
        });
        std::set<std::string> cleared;
        while (cleared.size() < 2) {
            // Brokers look for answers that are missing every transactionCheckInterval: half a minute by default, a minute at
            // 4.9's.
            const std::string order = arrived.receive(3 * PATIENCE);
            std::cout << "the cart of " << order << " is cleared\n";
            cleared.insert(order);
        }
        consumer.close();
        producer.close();
        mq.close();
    });
}
