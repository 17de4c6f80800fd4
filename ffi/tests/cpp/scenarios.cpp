// What a client does, shown the same way wherever it runs (core/tests/scenarios): embedded, over TCP to a server of our
// own, or at the cluster whose name servers are given.
//     scenarios embedded | tcp | host:port   DIRECTORY
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"

using namespace std::chrono_literals;
using ferromq::instance;
using ferromq::options;

namespace {

/// A cluster, what it can do, and names that nothing else in it has.
struct stage {
    instance *mq;
    bool own_broker;
    std::string suffix;

    std::string name(const std::string &what) const { return what + suffix; }
    std::string topic(const std::string &what, int queues = 4) const {
        // Brokers register new topics a moment later; those that have just started are slow.
        for (int patience = 0; patience < 300; ++patience) {
            try {
                mq->create_topic(name(what), queues);
                if (!mq->queues(name(what)).empty()) {
                    break;
                }
            } catch (const ferromq::error &) {
            }
            std::this_thread::sleep_for(100ms);
        }
        return name(what);
    }
};

options first() { return {{"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"}}; }

std::set<std::string> numbers(int count) {
    std::set<std::string> all;
    for (int number = 0; number < count; ++number) {
        all.insert(std::to_string(number));
    }
    return all;
}

void send_numbers(const stage &on, const std::string &topic, int count) {
    ferromq::producer producer = on.mq->producer(on.name("P"));
    for (int number = 0; number < count; ++number) {
        producer.send({topic, std::to_string(number)});
    }
    producer.close();
}

/// Polls until this many different bodies have come.
std::set<std::string> receive(ferromq::consumer &consumer, std::size_t count) {
    std::set<std::string> bodies;
    const auto until = std::chrono::steady_clock::now() + HANG;
    while (bodies.size() < count) {
        CHECK(std::chrono::steady_clock::now() < until);
        for (const auto message : consumer.poll(1s)) {
            bodies.emplace(message.text());
        }
    }
    return bodies;
}

void send(const stage &on) {
    const std::string topic = on.topic("Send");
    ferromq::producer producer = on.mq->producer(on.name("P"));
    std::set<std::string> wanted;
    const auto next = [&] {
        wanted.insert(std::to_string(wanted.size()));
        return ferromq::message(topic, std::to_string(wanted.size() - 1));
    };
    for (int n = 0; n < 10; ++n) {
        CHECK(producer.send(next()).status() == ferromq::send_status::ok);
        CHECK(producer.send(next(), 5s).queue().topic == topic);
    }
    std::vector<std::future<ferromq::sent>> futures;
    for (int n = 0; n < 10; ++n) {
        futures.push_back(producer.send_async(next()));
    }
    for (auto &future : futures) {
        future.get();
    }
    inbox<bool> told;
    producer.send_callback(next(), [&](ferromq::result<ferromq::sent> result) { told.put(static_cast<bool>(result)); });
    CHECK(told.take());
    producer.send_oneway(next());
    std::vector<ferromq::message> batch;
    for (int n = 0; n < 5; ++n) {
        batch.push_back(next());
    }
    producer.send_batch(batch);
    batch.clear();
    for (int n = 0; n < 50; ++n) {
        batch.push_back(next());
    }
    CHECK(producer.send_split(batch) == 50);
    const auto queues = producer.queues(topic);
    CHECK(producer.send(next(), ferromq::send_options().to(queues[1])).queue() == queues[1]);
    ferromq::send_options last;
    last.select([](const std::vector<ferromq::queue> &all, ferromq::outgoing_view) { return all.size() - 1; });
    CHECK(producer.send(next(), last).queue() == queues.back());
    ferromq::consumer consumer = on.mq->consumer(on.name("SendGroup"), first());
    consumer.subscribe(topic);
    CHECK(receive(consumer, wanted.size()) == wanted);
    consumer.close();
    producer.close();
}

void pull(const stage &on) {
    const std::string topic = on.topic("Pull", 1);
    send_numbers(on, topic, 30);
    ferromq::consumer consumer = on.mq->consumer(on.name("PullGroup"), options{{"autoCommit", "false"}});
    const auto queues = consumer.topic_queues(topic);
    consumer.assign(queues);
    consumer.seek_to_begin(queues[0]);
    CHECK(receive(consumer, 30) == numbers(30));
    consumer.commit();
    consumer.flush();
    CHECK(consumer.committed(queues[0]) == 30);
    consumer.seek(queues[0], 25);
    CHECK(receive(consumer, 5).count("25") == 1);
    consumer.pause(queues);
    send_numbers(on, topic, 1);
    CHECK(consumer.poll(500ms).empty());
    consumer.resume(queues);
    CHECK(receive(consumer, 1).count("0") == 1);
    CHECK(consumer.offset_for_time(queues[0], 0) == 0);
    const ferromq::pulled some = consumer.pull(queues[0], "*", 3, 5, 0ms);
    CHECK(some.status() == ferromq::pull_status::found && some.messages().front().text() == "3" && some.min() == 0);
    CHECK(some.messages().size() <= 5 && some.next() == 3 + static_cast<std::int64_t>(some.messages().size()));
    CHECK(consumer.pull(queues[0], "*", some.max(), 5, 0ms).status() == ferromq::pull_status::no_new_messages);
    consumer.close();
}

void order(const stage &on) {
    const std::string topic = on.topic("Order");
    ferromq::producer producer = on.mq->producer(on.name("P"));
    for (int step = 0; step < 10; ++step) {
        for (const char *key : {"a", "b", "c", "d", "e"}) {
            producer.send(ferromq::message(topic, std::to_string(step)).key(key), ferromq::send_options().sharding_key(key));
        }
    }
    std::map<std::string, int> reached;
    std::mutex mutex;
    inbox<int> seen;
    ferromq::push_consumer consumer = on.mq->push_consumer(on.name("OrderGroup"), first());
    consumer.subscribe(topic);
    consumer.listen_orderly([&](const ferromq::message_list &list, const ferromq::orderly_context &context) {
        CHECK(context.queue().topic == topic);
        const std::lock_guard lock(mutex);
        for (const auto message : list) {
            const int step = std::stoi(std::string(message.text()));
            int &next = reached[std::string(message.keys().value())];
            CHECK(step <= next);
            next = std::max(next, step + 1);
            seen.put(step);
        }
    });
    consumer.start();
    for (int n = 0; n < 50; ++n) {
        seen.take();
    }
    consumer.close();
    CHECK(reached.size() == 5);
}

void filter_tag(const stage &on) {
    const std::string topic = on.topic("Tags", 1);
    ferromq::producer producer = on.mq->producer(on.name("P"));
    for (const char *tag : {"a", "b", "c", "a", "b", "c"}) {
        producer.send(ferromq::message(topic, tag).tag(tag));
    }
    producer.send(ferromq::message(topic, "end").tag("c"));
    ferromq::consumer consumer = on.mq->consumer(on.name("TagGroup"), first());
    consumer.subscribe(topic, "a || c");
    CHECK(receive(consumer, 3) == (std::set<std::string>{"a", "c", "end"}));
    consumer.close();
}

void filter_sql(const stage &on) {
    const std::string topic = on.topic("Sql", 1);
    ferromq::producer producer = on.mq->producer(on.name("P"));
    for (int a = 0; a < 6; ++a) {
        producer.send(ferromq::message(topic, std::to_string(a)).property("a", std::to_string(a)));
    }
    ferromq::consumer consumer = on.mq->consumer(on.name("SqlGroup"), first());
    consumer.subscribe_sql(topic, "a > 1 AND a <> 4");
    CHECK(receive(consumer, 3) == (std::set<std::string>{"2", "3", "5"}));
    // The broker says what is wrong with it.
    CHECK(kind_of([&] { consumer.subscribe_sql(topic, "a >"); }) == ferromq::kind::remote);
    consumer.close();
}

void retry(const stage &on) {
    const std::string topic = on.topic("Retry", 1);
    inbox<std::pair<std::string, int>> seen;
    ferromq::push_consumer consumer = on.mq->push_consumer(on.name("RetryGroup"), first());
    consumer.subscribe(topic);
    consumer.listen_one([&](const ferromq::message_view &message, const ferromq::consume_context &context) {
        seen.put({std::string(message.text()), message.reconsume_times()});
        context.delay_level(1);
        if (message.reconsume_times() == 0 && message.text() == "throw") {
            throw std::runtime_error("an exception is as good as later");
        }
        return message.reconsume_times() == 0 ? ferromq::consume_status::later : ferromq::consume_status::success;
    });
    consumer.start();
    ferromq::producer producer = on.mq->producer(on.name("P"));
    producer.send({topic, "later"});
    producer.send({topic, "throw"});
    std::set<std::pair<std::string, int>> all;
    while (all.size() < 4) {
        all.insert(seen.take());
    }
    CHECK(all == (std::set<std::pair<std::string, int>>{{"later", 0}, {"later", 1}, {"throw", 0}, {"throw", 1}}));
    consumer.close();
}

void transaction(const stage &on) {
    const std::string topic = on.topic("Transaction", 1);
    using ferromq::transaction_state;
    std::atomic<int> asked{0};
    ferromq::transaction_producer producer = on.mq->transaction_producer(
        on.name("TransactionGroup"),
        [](ferromq::outgoing_view message, std::string_view id) {
            CHECK(!id.empty());
            const std::string_view body = message.text();
            return body == "commit"     ? transaction_state::commit
                   : body == "rollback" ? transaction_state::rollback
                                        : transaction_state::unknown;
        },
        [&](ferromq::message_view message) {
            ++asked;
            return message.text() == "ask" ? transaction_state::commit : transaction_state::rollback;
        });
    CHECK(producer.send({topic, "commit"}).state == transaction_state::commit);
    CHECK(producer.send({topic, "rollback"}).state == transaction_state::rollback);
    CHECK(producer.send(ferromq::message(topic, "ask").transaction_check_immunity(1s)).state == transaction_state::unknown);
    CHECK(producer.send({topic, "own"}, [](auto, auto) { return transaction_state::commit; }).state ==
          transaction_state::commit);
    bool thrown = false;
    try {
        producer.send({topic, "thrown"}, [](auto, auto) -> transaction_state { throw std::runtime_error("no"); });
    } catch (const std::runtime_error &error) {
        thrown = std::strcmp(error.what(), "no") == 0;
    }
    CHECK(thrown);
    ferromq::consumer consumer = on.mq->consumer(on.name("TransactionReaders"), first());
    consumer.subscribe(topic);
    // Apache's brokers look for missing answers once a minute.
    const auto wanted = on.own_broker ? std::set<std::string>{"commit", "own", "ask"} : std::set<std::string>{"commit", "own"};
    const auto got = receive(consumer, wanted.size());
    CHECK(!on.own_broker || (got == wanted && asked > 0));
    CHECK(got.count("rollback") == 0 && got.count("thrown") == 0);
    consumer.close();
    producer.close();
}

void broadcasting(const stage &on, const std::string &directory) {
    const std::string topic = on.topic("Broadcast");
    inbox<std::string> seen[2];
    std::vector<ferromq::push_consumer> members;
    std::vector<instance> clients;
    for (int member = 0; member < 2; ++member) {
        options settings = first();
        settings.set("messageModel", "BROADCASTING").set("offsetStoreDir", directory + on.name("/offsets"));
        instance *client = on.mq;
        if (member == 1 && on.mq->name_servers().rfind("127.0.0.1:9876", 0) != 0 && on.mq->listening()) {
            // A client of its own, as another process would be.
            clients.push_back(ferromq::connect("127.0.0.1:" + std::to_string(on.mq->listening()->first)));
            client = &clients.back();
        } else if (member == 1) {
            clients.push_back(ferromq::connect(on.mq->name_servers()));
            client = &clients.back();
        }
        members.push_back(client->push_consumer(on.name("BroadcastGroup"), settings));
        members.back().subscribe(topic);
        members.back().listen([&inbox = seen[member]](const ferromq::message_list &list) {
            for (const auto message : list) {
                inbox.put(std::string(message.text()));
            }
        });
        members.back().start();
    }
    send_numbers(on, topic, 10);
    for (auto &one : seen) {
        std::set<std::string> got;
        while (got.size() < 10) {
            got.insert(one.take());
        }
    }
}

void delay(const stage &on) {
    const std::string topic = on.topic("Delay", 1);
    ferromq::producer producer = on.mq->producer(on.name("P"));
    producer.send(ferromq::message(topic, "late").delay_level(1));
    producer.send({topic, "early"});
    ferromq::consumer consumer = on.mq->consumer(on.name("DelayGroup"), first());
    consumer.subscribe(topic);
    std::vector<std::string> bodies;
    while (bodies.size() < 2) {
        for (const auto message : consumer.poll(HANG)) {
            bodies.emplace_back(message.text());
            CHECK(message.text() != "late" || message.store_timestamp() - message.born_timestamp() >= 1'000);
        }
    }
    CHECK(bodies == (std::vector<std::string>{"early", "late"}));
    consumer.close();
}

void request_reply(const stage &on) {
    const std::string topic = on.topic("Request", 1);
    ferromq::producer producer = on.mq->producer(on.name("P"));
    ferromq::push_consumer server = on.mq->push_consumer(on.name("RequestGroup"), first());
    server.subscribe(topic);
    server.listen_one([&](const ferromq::message_view &request) {
        producer.reply(request, std::string(request.text()) + " and back");
    });
    server.start();
    CHECK(producer.request({topic, "there"}, 30s).text() == "there and back");
    CHECK(producer.request_async({topic, "once more"}, 30s).get().text() == "once more and back");
    server.close();
}

void look_up(const stage &on) {
    const std::string topic = on.topic("LookUp", 1);
    const ferromq::sent sent = on.mq->producer(on.name("P")).send(ferromq::message(topic, "x").key("order-7"));
    for (int patience = 0;; ++patience) {
        CHECK(patience < 600);
        const auto found = on.mq->messages_by_key(topic, "order-7", 10, 0, INT64_MAX);
        if (found.size() == 1 && found[0].id() == sent.message_id()) {
            break;
        }
        std::this_thread::sleep_for(100ms);
    }
    CHECK(on.mq->message_by_unique_key(topic, sent.message_id()).text() == "x");
    CHECK(on.mq->search_offset(sent.queue(), 0) == 0);
}

void close_in_listener(const stage &on) {
    const std::string topic = on.topic("CloseInside", 1);
    auto consumer = std::make_shared<std::optional<ferromq::push_consumer>>(on.mq->push_consumer(on.name("CloseGroup"), first()));
    inbox<bool> closed;
    (*consumer)->subscribe(topic);
    (*consumer)->listen([own = std::weak_ptr(consumer), &closed](const ferromq::message_list &) {
        if (const auto strong = own.lock()) {
            (*strong)->close();
            closed.put(true);
        }
    });
    (*consumer)->start();
    send_numbers(on, topic, 1);
    CHECK(closed.take());
}

/// Messages and offsets are there when a directory is opened again.
void restart(const std::string &directory) {
    const std::string data = directory + "/restart";
    const options sync{{"flushDiskType", "SYNC_FLUSH"}};
    {
        instance mq = ferromq::open(data, sync);
        CHECK(kind_of([&] { ferromq::open(data); }) == ferromq::kind::in_use);
        mq.create_topic("T", 2);
        ferromq::producer producer = mq.producer("P");
        for (int number = 0; number < 20; ++number) {
            producer.send({"T", std::to_string(number)});
        }
        ferromq::consumer consumer = mq.consumer("G", first());
        consumer.subscribe("T");
        CHECK(receive(consumer, 20) == numbers(20));
        consumer.close();
        producer.send({"T", "after"});
        mq.close();
    }
    instance mq = ferromq::open(data, sync);
    ferromq::consumer consumer = mq.consumer("G", first());
    consumer.subscribe("T");
    CHECK(receive(consumer, 1) == (std::set<std::string>{"after"}));
    ferromq::consumer all = mq.consumer("Others", first());
    all.subscribe("T");
    CHECK(receive(all, 21).size() == 21);
    mq.close();
}

void run(const stage &on, const std::string &directory) {
    send(on);
    pull(on);
    order(on);
    filter_tag(on);
    if (on.own_broker) {
        filter_sql(on);
    }
    retry(on);
    transaction(on);
    broadcasting(on, directory);
    delay(on);
    request_reply(on);
    look_up(on);
    close_in_listener(on);
}

options server() {
    return {{"listen", "free"}, {"transactionCheckInterval", "1000"}, {"transactionTimeOut", "1000"}};
}

} // namespace

int main(int count, char **arguments) {
    CHECK(count == 3);
    const std::string where = arguments[1], directory = arguments[2];
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    const std::string suffix = "_cpp_" + std::to_string(now / 1000);
    if (where == "embedded") {
        instance mq = ferromq::open(directory + "/embedded", server());
        run({&mq, true, suffix}, directory);
        mq.close();
        restart(directory);
    } else if (where == "tcp") {
        instance mq = ferromq::open_memory(server());
        instance client = ferromq::connect("127.0.0.1:" + std::to_string(mq.listening()->first));
        run({&client, true, suffix}, directory);
        client.close();
        mq.close();
    } else {
        instance client = ferromq::connect(where, {{"mqClientApiTimeout", "20000"}});
        run({&client, false, suffix}, directory);
        client.close();
    }
    std::puts("ok");
    return 0;
}
