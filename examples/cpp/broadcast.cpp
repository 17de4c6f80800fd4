// Every member of a group gets every message: caches to clear, settings to reload. Each member keeps how far it has come in a
// file of its own, and a message that fails does not come again.
#include <filesystem>
#include <set>

#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        // Two clients, as two processes would be. A server in this process listens so that the second can join.
        const std::string place = count > 1 ? arguments[1] : "";
        ferromq::instance first =
            place.empty() ? ferromq::open_memory(server_options().set("listen", "free")) : ferromq::connect(place);
        ferromq::instance second = ferromq::connect(
            place.empty() ? "127.0.0.1:" + std::to_string(first.listening()->first) : place);
        first.create_topic("Broadcast", 4);

        const auto start = std::chrono::system_clock::now().time_since_epoch().count();
        const auto files = std::filesystem::temp_directory_path() / ("ferromq-broadcast-" + std::to_string(start));
        channel<std::pair<int, std::string>> arrived;
        std::vector<ferromq::push_consumer> members;
        for (ferromq::instance *mq : {&first, &second}) {
            ferromq::options settings = from_first();
            settings.set("messageModel", "BROADCASTING").set("offsetStoreDir", files.string());
            members.push_back(mq->push_consumer(consumer_group("CID_BROADCAST"), settings));
            members.back().subscribe("Broadcast", "*");
            members.back().listen([&arrived, number = members.size() - 1](const ferromq::message_list &messages) {
                for (const ferromq::message_view message : messages) {
                    arrived.send({static_cast<int>(number), std::string(message.text())});
                }
            });
            members.back().start();
        }

        ferromq::producer producer = first.producer(producer_group("broadcasters"));
        for (int number = 0; number < 5; ++number) {
            producer.send({"Broadcast", "reload " + std::to_string(number)});
        }
        std::set<std::pair<int, std::string>> deliveries;
        while (deliveries.size() < 10) {
            deliveries.insert(arrived.receive());
        }
        for (const auto &[member, body] : deliveries) {
            std::cout << "member " << member << ": " << body << '\n';
        }
        for (ferromq::push_consumer &member : members) {
            member.close();
        }
        second.close();
        first.close();
        // A real program keeps the files: with them it goes on where it stopped.
        std::filesystem::remove_all(files);
    });
}
