// A flag for each business key, in a store that forgets after some time (Redis in many systems, a map here). Cheap, and weaker
// than a table in the database of the work: work and flag do not appear together, so a crash between them lets the work be
// done twice. The flag is set only after the work, never before, or a failure would lose the message.
#include <map>

#include "examples.hpp"

class flags {
public:
    // Flags that last as long as keep: longer than the same message can come again, such as 72 h.
    explicit flags(std::chrono::milliseconds keep) : keep_(keep) {}
    bool is_set(const std::string &key) const {
        const auto found = until_.find(key);
        return found != until_.end() && found->second > std::chrono::steady_clock::now();
    }
    void set(const std::string &key) { until_[key] = std::chrono::steady_clock::now() + keep_; }

private:
    std::chrono::milliseconds keep_;
    std::map<std::string, std::chrono::steady_clock::time_point> until_;
};

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Flagged", 1);
        ferromq::producer producer = mq.producer(producer_group("flag-producers"));
        for (int number = 0; number < 3; ++number) {
            const auto message = ferromq::message("Flagged", "work").key("KEY_" + std::to_string(number));
            producer.send(message);
            producer.send(message);
        }

        flags known{std::chrono::milliseconds(std::stoll(from_environment("KEEP_MS", "259200000")))};
        // Two deliveries of one key at the same time would both find no flag.
        std::mutex one_at_a_time;
        channel<std::string> arrived;
        auto consumer = subscribe(mq, consumer_group("CID_FLAG"), "Flagged", "*", [&](const ferromq::message_view &message) {
            const std::string key(message.keys().value_or(""));
            const std::lock_guard lock(one_at_a_time);
            if (known.is_set(key)) {
                arrived.send(key + " is done already\n");
                return;
            }
            // The work goes here; if it throws, the message comes again.
            known.set(key);
            arrived.send("working on " + key + '\n');
        });
        int worked = 0;
        for (int delivery = 0; delivery < 6; ++delivery) {
            const std::string line = arrived.receive();
            worked += line.rfind("working", 0) == 0 ? 1 : 0;
            std::cout << line;
        }
        std::cout << "worked " << worked << " times\n";
        consumer.close();
        mq.close();
    });
}
