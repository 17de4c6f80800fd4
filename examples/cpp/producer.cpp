// The three ways to send, each with what it is for.
#include "examples.hpp"

int main(int count, char **arguments) {
    return run([&] {
        ferromq::instance mq = instance(count, arguments);
        mq.create_topic("Notices", 4);
        ferromq::producer producer = mq.producer(producer_group("senders"));

        // Mails and short messages to customers are important: wait until each is stored, and look how safe it is.
        for (const char *customer : {"ann", "bob"}) {
            const ferromq::sent sent =
                producer.send(ferromq::message("Notices", std::string("mail to ") + customer).tag("mail"));
            if (sent.status() != ferromq::send_status::ok) {
                std::cout << "stored, but not as safe as it could be: " << sent << '\n';
            }
            std::cout << "sync: " << sent << '\n';
        }

        // After an upload a video is converted, which takes long, and the uploader must not wait: the future has how the
        // send went. send_callback calls back instead. It may be sent again if it failed and error::is_retriable.
        std::vector<std::future<ferromq::sent>> under_way;
        for (int video = 0; video < 3; ++video) {
            const std::string body = "convert video " + std::to_string(video);
            under_way.push_back(producer.send_async(ferromq::message("Notices", body).tag("video")));
        }
        for (auto &one : under_way) {
            std::cout << "async: " << one.get() << '\n';
        }

        // Log lines are many, and one lost is no harm: do not ask for an answer.
        for (int line = 0; line < 100; ++line) {
            producer.send_oneway(ferromq::message("Notices", "log line " + std::to_string(line)).tag("log"));
        }
        std::cout << "oneway: 100 log lines\n";
        producer.close();
        mq.close();
    });
}
