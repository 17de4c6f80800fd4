// Every message may be delivered more than once, so what it causes must be the same however often it is. A message carries a
// key of the business (never rely on the message id), and the database decides: six ways to let it. Needs SQLite: -lsqlite3.
#include "examples.hpp"
#include "snowflake.hpp"
#include "sqlite.hpp"

constexpr int COPIES = 5;

constexpr const char *TABLES = R"(
    create table account(id integer primary key, money integer not null);
    create table paid(order_id text primary key);
    create table t_order(id integer primary key autoincrement, order_id text not null unique, status text);
    create table stock(id integer primary key, amount integer not null, version integer not null);
    create table task(id integer primary key, status text not null);
    create table t1(id integer primary key, money integer not null);
    create table points(user text primary key, amount integer not null);
    insert into account values (1, 1000);
    insert into stock values (1, 50, 7);
    insert into task values (1, 'new');
    insert into t1 values (1, 100);
)";

// 100 yuan, once: the note that the order is paid and the payment stand in one transaction.
bool debit(database &data, const std::string &order_id) {
    transaction both(data);
    const bool noted = data.change("insert into paid values (?1) on conflict do nothing", order_id) == 1;
    if (noted) {
        data.change("update account set money = money - 100 where id = 1");
    }
    both.commit();
    return noted;
}

// The row is locked before it is looked at: select ... for update elsewhere, an immediate transaction in SQLite.
bool pessimistic(database &data) {
    transaction locked(data, "begin immediate");
    const bool is_new = data.number("select count(*) from task where id = 1 and status = 'new'") == 1;
    if (is_new) {
        data.change("update task set status = 'done' where id = 1");
    }
    locked.commit();
    return is_new;
}

// Does the work of a message; false if it was done before.
bool work(database &data, std::string_view way, const std::string &order_id) {
    if (way == "debit") {
        return debit(data, order_id);
    }
    if (way == "insert") {
        // The unique key refuses the second insert, which means that the first was done.
        return data.change("insert into t_order(order_id, status) values (?1, 'new')", order_id) == 1;
    }
    if (way == "optimistic") {
        // The message was made from version 7; whoever comes second finds another version and changes nothing.
        return data.change("update stock set amount = amount - 1, version = version + 1 where id = 1 and version = 7") == 1;
    }
    if (way == "pessimistic") {
        return pessimistic(data);
    }
    if (way == "set") {
        // The old value stands in the condition: the second time no row has it.
        return data.change("update t1 set money = 150 where id = 1 and money = 100") == 1;
    }
    // Sets what is to be, whatever was there: doing it again changes nothing.
    return data.change("insert into points values ('ann', 30) on conflict(user) do update set amount = excluded.amount "
                       "where amount <> excluded.amount") == 1;
}

int main(int count, char **arguments) {
    return run([&] {
        database data(":memory:");
        data.script(TABLES);
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("ons_test", 4);
        ferromq::producer producer = mq.producer(producer_group("payments"));
        snowflakes ids(1);
        for (const char *way : {"debit", "insert", "optimistic", "pessimistic", "set", "upsert"}) {
            // The same order sent again and again, as a producer does that did not hear the answer.
            const auto message = ferromq::message("ons_test", way).key("ORDERID_" + std::to_string(ids.next_id()));
            for (int copy = 0; copy < COPIES; ++copy) {
                producer.send(message);
            }
        }

        std::mutex one_at_a_time;
        channel<std::pair<bool, std::string>> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_IDEMPOTENT"), "ons_test", "*", [&](const ferromq::message_view &message) {
            const std::string order_id(message.keys().value_or(""));
            const std::lock_guard lock(one_at_a_time);
            const bool was_new = work(data, message.text(), order_id);
            arrived.send({was_new, order_id + " " + std::string(message.text()) + (was_new ? ": done\n" : ": was done already\n")});
        });
        int duplicates = 0;
        for (int delivery = 0; delivery < 6 * COPIES; ++delivery) {
            const auto [was_new, line] = arrived.receive();
            duplicates += was_new ? 0 : 1;
            std::cout << line;
        }
        consumer.close();
        std::cout << "money " << data.number("select money from account where id = 1") << ", orders "
                  << data.number("select count(*) from t_order") << ", stock "
                  << data.number("select amount from stock where id = 1") << ", task "
                  << (data.number("select count(*) from task where status = 'done'") == 1 ? "done" : "new") << ", t1 "
                  << data.number("select money from t1 where id = 1") << ", points "
                  << data.number("select amount from points where user = 'ann'") << ", duplicates " << duplicates << '\n';
        mq.close();
    });
}
