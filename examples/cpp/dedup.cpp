// A table of the messages that were worked on. The entry and the result of the work appear in one transaction: killed at any
// moment, the program goes on at its next start, and every message counts once. Needs SQLite: -lsqlite3.
//
// DEDUP_DATABASE is the database's file; DEDUP_PAUSE_MS lies between two steps, for whoever wants to kill the program there.
#include <thread>

#include "examples.hpp"
#include "sqlite.hpp"

// Messages, each of which is sent twice.
constexpr int MESSAGES = 50;

constexpr const char *TABLES = R"(
    create table if not exists processed(message_key text primary key);
    create table if not exists result(message_key text, amount integer);
    create table if not exists produced(done integer);
)";

void step(const char *what, const std::string &key) {
    static const std::chrono::milliseconds pause(std::stoi(from_environment("DEDUP_PAUSE_MS", "0")));
    std::cout << what << ' ' << key << std::endl;
    std::this_thread::sleep_for(pause);
}

// Does the work of a message, unless it was done before; whether it did. One at a time.
bool work(database &data, const std::string &key, int amount) {
    std::cout << "begin " << key << '\n';
    transaction both(data);
    if (data.number("select count(*) from processed where message_key = ?1", key) > 0) {
        std::cout << "again " << key << '\n';
        return false;
    }
    // The work itself. What is not in the database, such as a call to another service, needs a key there as well.
    data.change("insert into result values (?1, ?2)", key, amount);
    step("worked", key);
    data.change("insert into processed values (?1)", key);
    step("marked", key);
    both.commit();
    step("done", key);
    return true;
}

void produce(ferromq::instance &mq, database &data) {
    if (data.number("select count(*) from produced") > 0) {
        return;
    }
    ferromq::producer producer = mq.producer(producer_group("dedup-producers"));
    for (int number = 0; number < MESSAGES; ++number) {
        const auto message =
            ferromq::message("Deduplicated", std::to_string(number)).key("ID_" + std::to_string(number));
        producer.send(message);
        producer.send(message);
    }
    // Killed before this, the next run sends once more: that is harmless here.
    data.change("insert into produced values (1)");
}

int main(int count, char **arguments) {
    return run([&] {
        database data(from_environment("DEDUP_DATABASE", ":memory:"));
        data.script(TABLES);
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Deduplicated", 4);
        produce(mq, data);
        const int before = data.number("select count(*) from processed");

        std::mutex one_at_a_time;
        channel<bool> processed;
        // An exception brings the message again.
        auto consumer = subscribe(mq, consumer_group("CID_DEDUP"), "Deduplicated", "*", [&](const ferromq::message_view &message) {
            const std::lock_guard lock(one_at_a_time);
            if (work(data, std::string(message.keys().value_or("")), std::stoi(std::string(message.text())))) {
                processed.send(true);
            }
        });
        for (int done = before; done < MESSAGES; ++done) {
            processed.receive();
        }
        consumer.close();
        std::cout << data.number("select count(*) from processed") << " messages, sum "
                  << data.number("select sum(amount) from result") << '\n';
        mq.close();
    });
}
