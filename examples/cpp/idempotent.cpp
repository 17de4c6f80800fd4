// Every message may be delivered more than once, so what it causes must be the same however often it is. A message carries a
// key of the business (never rely on the message id), and the database decides: six ways to let it. The database is a few maps
// here; the comments say what it is in SQL.
#include <map>
#include <set>

#include "examples.hpp"

constexpr int COPIES = 5;

struct database {
    std::mutex transaction;
    int money = 1000;
    std::set<std::string> paid;
    std::set<std::string> orders;
    int stock = 50, version = 7;
    std::string task = "new";
    int t1_money = 100;
    std::map<std::string, int> points;

    // Does the work of a message; false if it was done before.
    bool work(std::string_view way, const std::string &order) {
        const std::lock_guard lock(transaction);
        if (way == "debit") {
            // The note that the order is paid (a unique key) and the payment stand in one transaction.
            const bool noted = paid.insert(order).second;
            money -= noted ? 100 : 0;
            return noted;
        }
        if (way == "insert") {
            // The unique key refuses the second insert, which means that the first was done.
            return orders.insert(order).second;
        }
        if (way == "optimistic") {
            // update stock set amount = amount - 1, version = version + 1 where version = 7
            if (version != 7) {
                return false;
            }
            --stock;
            ++version;
            return true;
        }
        if (way == "pessimistic") {
            // select status ... for update; then the update
            return task == "new" ? (task = "done", true) : false;
        }
        if (way == "set") {
            // update t1 set money = 150 where money = 100: the second time no row has the old value.
            return t1_money == 100 ? (t1_money = 150, true) : false;
        }
        // insert ... on conflict do update: sets what is to be, whatever was there.
        return std::exchange(points["ann"], 30) != 30;
    }
};

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("ons_test", 4);
        ferromq::producer producer = mq.producer(producer_group("payments"));
        const auto start = std::chrono::system_clock::now().time_since_epoch().count();
        int number = 0;
        for (const char *way : {"debit", "insert", "optimistic", "pessimistic", "set", "upsert"}) {
            // The same order sent again and again, as a producer does that did not hear the answer.
            const auto message =
                ferromq::message("ons_test", way).key("ORDERID_" + std::to_string(start) + std::to_string(number++));
            for (int copy = 0; copy < COPIES; ++copy) {
                producer.send(message);
            }
        }

        database data;
        channel<std::pair<bool, std::string>> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_IDEMPOTENT"), "ons_test", "*", [&](const ferromq::message_view &message) {
            const std::string order(message.keys().value_or(""));
            const bool was_new = data.work(message.text(), order);
            arrived.send({was_new, order + " " + std::string(message.text()) + (was_new ? ": done\n" : ": was done already\n")});
        });
        int duplicates = 0;
        for (int delivery = 0; delivery < 6 * COPIES; ++delivery) {
            const auto [was_new, line] = arrived.receive();
            duplicates += was_new ? 0 : 1;
            std::cout << line;
        }
        consumer.close();
        std::cout << "money " << data.money << ", orders " << data.orders.size() << ", stock " << data.stock << ", task "
                  << data.task << ", t1 " << data.t1_money << ", points " << data.points["ann"] << ", duplicates "
                  << duplicates << '\n';
        mq.close();
    });
}
