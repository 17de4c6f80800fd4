// A table of the messages that were worked on. The entry and the result of the work appear together, as one line of a file here
// and in one transaction of a database elsewhere: killed at any moment, the program goes on at its next start, and every message
// counts once.
#include <cstdio>
#include <fstream>
#include <map>

#include "examples.hpp"

// Messages, each of which is sent twice.
constexpr int MESSAGES = 50;

class table {
public:
    explicit table(std::string path) : path_(std::move(path)) {
        std::ifstream file(path_);
        for (std::string line; std::getline(file, line);) {
            // A line that was cut off by the end of the program has no mark at its end: it was not done.
            if (const std::size_t equals = line.find('='); !line.empty() && line.back() == '.') {
                rows_[line.substr(0, equals)] = std::stoi(line.substr(equals + 1));
            }
        }
    }
    bool has(const std::string &key) const { return rows_.count(key) > 0; }
    // What is not in the table, such as a call to another service, needs a key there as well.
    void add(const std::string &key, int amount) {
        std::ofstream file(path_, std::ios::app);
        file << '\n' << key << '=' << amount << '.' << std::flush;
        if (!file) {
            throw std::runtime_error("the table cannot be written");
        }
        rows_[key] = amount;
    }
    std::size_t size() const { return rows_.size(); }
    int sum() const {
        int all = 0;
        for (const auto &row : rows_) {
            all += row.second;
        }
        return all;
    }

private:
    std::string path_;
    std::map<std::string, int> rows_;
};

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Deduplicated", 4);
        const std::string path = from_environment("DEDUP_TABLE", "");
        table done(path.empty() ? std::string("/dev/null") : path);
        ferromq::producer producer = mq.producer(producer_group("dedup-producers"));
        for (int number = 0; number < MESSAGES; ++number) {
            const auto message =
                ferromq::message("Deduplicated", std::to_string(number)).key("ID_" + std::to_string(number));
            producer.send(message);
            producer.send(message);
        }

        std::mutex transaction;
        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_DEDUP"), "Deduplicated", "*", [&](const ferromq::message_view &message) {
            const std::string key(message.keys().value_or(""));
            const std::lock_guard lock(transaction);
            if (done.has(key)) {
                arrived.send("again " + key);
                return;
            }
            // An exception brings the message again.
            done.add(key, std::stoi(std::string(message.text())));
            arrived.send("done " + key);
        });
        for (int delivery = 0; delivery < 2 * MESSAGES; ++delivery) {
            std::cout << arrived.receive() << std::endl;
        }
        consumer.close();
        std::cout << done.size() << " messages, sum " << done.sum() << '\n';
        mq.close();
    });
}
