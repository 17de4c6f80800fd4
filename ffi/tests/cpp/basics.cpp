// What C++ adds to the C ABI: exceptions, moving, views, ranges, futures, the lives of callables.
#include <array>
#include <atomic>
#include <map>
#include <numeric>
#include <thread>
#include <vector>

#include <poll.h>

#include "check.hpp"

using namespace std::chrono_literals;
using ferromq::kind;

static ferromq::options from_first() { return {{"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"}}; }

static void errors() {
    ferromq::instance mq = ferromq::open_memory();
    try {
        mq.queues("NoSuchTopic");
        CHECK(false);
    } catch (const std::runtime_error &caught) {
        const auto &error = dynamic_cast<const ferromq::error &>(caught);
        CHECK(error.kind() == kind::not_found && !error.is_retriable() && !error.code());
        CHECK(std::string(error.what()).find("NoSuchTopic") != std::string::npos);
        const ferromq::error copy = error;
        CHECK(copy.kind() == error.kind() && copy.topic().empty());
    }
    CHECK(kind_of([&] { mq.producer("bad group!"); }) == kind::invalid_argument);
    CHECK(kind_of([&] { mq.create_topic(std::string_view("a\0b", 3), 1); }) == kind::invalid_argument);
    CHECK(kind_of([&] { mq.producer("P", {{"sendMsgTimeot", "1"}}); }) == kind::invalid_argument);
    CHECK(kind_of([&] { ferromq::open_memory({{"flushDiskType", "NEVER"}}); }) == kind::invalid_argument);
    ferromq::producer producer = mq.producer("P");
    try {
        producer.send({"T", "x"}, ferromq::send_options().to({"T", "nowhere", 3}).timeout(300ms));
        CHECK(false);
    } catch (const ferromq::error &error) {
        CHECK(error.topic() == "T" && !error.message_id().empty());
    }
    mq.close();
    mq.close();
    CHECK(kind_of([&] { producer.send({"T", "x"}); }) == kind::closed);
}

static void handles() {
    static_assert(!std::is_copy_constructible_v<ferromq::instance> && std::is_move_constructible_v<ferromq::instance>);
    static_assert(!std::is_copy_constructible_v<ferromq::consumer> && std::is_move_assignable_v<ferromq::consumer>);
    static_assert(!std::is_copy_constructible_v<ferromq::message> && std::is_move_assignable_v<ferromq::stored_message>);
    std::optional<ferromq::instance> mq(ferromq::open_memory());
    mq->create_topic("T", 1);
    ferromq::producer producer = mq->producer("P");
    ferromq::producer moved = std::move(producer);
    moved.send({"T", "x"});
    std::vector<ferromq::consumer> consumers;
    consumers.push_back(mq->consumer("G"));
    // The instance may end first: what was made from it is closed, and is freed later.
    mq.reset();
    CHECK(kind_of([&] { moved.send({"T", "x"}); }) == kind::closed);
}

static void messages() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 1);
    ferromq::producer producer = mq.producer("P");
    const std::array<std::byte, 4> raw{std::byte{0}, std::byte{1}, std::byte{0}, std::byte{255}};
    ferromq::message first("T", ferromq::bytes(raw.data(), raw.size()));
    first.tag("A").key("k1").key("k2").property("colour", "red").flag(7);
    CHECK(first.view().topic() == "T" && first.view().body().size() == 4 && first.view().tag() == "A");
    const ferromq::sent sent = producer.send(first);
    CHECK(sent.status() == ferromq::send_status::ok && sent.queue_offset() == 0 && sent.queue().topic == "T");
    producer.send(ferromq::message("T", "text").tag("B").key("k3"));
    producer.send({"T", std::string(5'000, 'z')});

    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.subscribe("T");
    std::vector<ferromq::stored_message> kept;
    for (const ferromq::message_view message : consumer.until_idle(60s)) {
        kept.emplace_back(message);
        if (kept.size() == 3) {
            break;
        }
    }
    consumer.close();
    CHECK(kept.size() == 3);
    CHECK(kept[0].body().size() == 4 && kept[0].body()[3] == std::byte{255} && kept[0].tag() == "A");
    CHECK(kept[0].keys() == "k1 k2" && kept[0].property("colour") == "red" && kept[0].flag() == 7);
    CHECK(kept[0].id() == sent.message_id() && kept[0].queue_offset() == 0 && kept[0].reconsume_times() == 0);
    CHECK(kept[1].text() == "text" && !kept[1].property("colour") && kept[2].text().size() == 5'000);
    std::map<std::string, std::string> properties;
    for (const auto &[name, value] : kept[0].properties()) {
        properties.emplace(name, value);
    }
    CHECK(properties.at("colour") == "red" && properties.at("TAGS") == "A");
    CHECK(mq.message_by_id(sent.offset_id()).id() == sent.message_id());
    CHECK(mq.min_offset(sent.queue()) == 0 && mq.max_offset(sent.queue()) == 3);
    CHECK(mq.earliest_store_time(sent.queue()).has_value());
}

static void futures() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 2);
    ferromq::producer producer = mq.producer("P");
    std::vector<std::future<ferromq::sent>> under_way;
    for (int number = 0; number < 200; ++number) {
        under_way.push_back(producer.send_async({"T", std::to_string(number)}));
    }
    for (auto &one : under_way) {
        CHECK(one.get().status() == ferromq::send_status::ok);
    }
    std::vector<ferromq::message> batch;
    batch.emplace_back("T", "one");
    batch.emplace_back("T", "two");
    CHECK(producer.send_batch_async(batch).get().message_id().find(',') != std::string::npos);
    auto failing = producer.send_async({"T", std::string(5 << 20, 'x')});
    CHECK(kind_of([&] { failing.get(); }) != kind::internal);
    inbox<std::string> told;
    producer.send_callback({"T", "x"}, [&](ferromq::result<ferromq::sent> result) {
        told.put(result ? result.value().queue().topic : result.error().what());
        throw std::runtime_error("a callback's exception ends nothing");
    });
    CHECK(told.take() == "T");
    producer.close();
}

static void callables() {
    // What a callable holds is destroyed exactly when it is not called any more.
    const auto held = std::make_shared<int>(0);
    {
        ferromq::instance mq = ferromq::open_memory();
        ferromq::push_consumer consumer = mq.push_consumer("G");
        consumer.listen([held](const ferromq::message_list &) {});
        CHECK(held.use_count() == 2);
        CHECK(kind_of([&] { consumer.listen([held](const ferromq::message_list &) {}); }) == kind::invalid_argument);
        CHECK(held.use_count() == 2);
        auto sender = mq.transaction_producer(
            "TG", [held](auto, auto) { return ferromq::transaction_state::commit; },
            [held](auto) { return ferromq::transaction_state::commit; });
        CHECK(held.use_count() == 4);
        mq.create_topic("T", 1);
        ferromq::send_options how;
        how.select([held](const std::vector<ferromq::queue> &queues, ferromq::outgoing_view) {
            return queues.size() - 1;
        });
        mq.producer("P").send({"T", "x"}, how);
        CHECK(held.use_count() == 5);
    }
    CHECK(held.use_count() == 1);
}

static void ranges() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 1);
    ferromq::producer producer = mq.producer("P");
    for (int number = 1; number <= 100; ++number) {
        producer.send({"T", std::to_string(number)});
    }
    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.subscribe("T");
    int sum = 0;
    // The loop ends when somebody closes the consumer.
    for (const auto message : consumer) {
        sum += std::stoi(std::string(message.text()));
        if (sum == 5050) {
            consumer.close();
        }
    }
    CHECK(sum == 5050);
    CHECK(kind_of([&] { consumer.poll(1ms); }) == kind::closed);

    ferromq::consumer other = mq.consumer("H", from_first());
    other.subscribe("T");
    std::atomic<int> count{0};
    std::thread closes([&] {
        for (int patience = 0; count < 100 && patience < 6000; ++patience) {
            std::this_thread::sleep_for(10ms);
        }
        other.close();
    });
    for (const auto message : other) {
        count += message.text().empty() ? 0 : 1;
    }
    closes.join();
    CHECK(count == 100);
}

// An error in a range does not end it: the next step goes on where it was.
static void ranges_after_errors() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 1);
    ferromq::producer producer = mq.producer("P");
    for (int number = 0; number < 5; ++number) {
        producer.send({"T", std::to_string(number)});
    }
    ferromq::consumer consumer = mq.consumer(
        "G", {{"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"}, {"pollBatch", "1"}, {"pullBatchSize", "1"},
              {"pullThresholdForQueue", "1"}});
    consumer.subscribe("T");
    auto at = consumer.begin();
    CHECK((*at).text() == "0");
    mq.admin().create_topic("T", {{"readQueueNums", "1"}, {"writeQueueNums", "1"}, {"perm", "2"}});
    bool failed = false;
    for (int expected = 1; expected < 5;) {
        try {
            ++at;
            CHECK((*at).text() == std::to_string(expected));
            ++expected;
        } catch (const ferromq::error &error) {
            CHECK(error.kind() != kind::closed && (*at).text().empty());
            mq.admin().create_topic("T", {{"readQueueNums", "1"}, {"writeQueueNums", "1"}, {"perm", "6"}});
            failed = true;
        }
    }
    CHECK(failed);
}

static void shares() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 4);
    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.allocate_by([](std::string_view group, std::string_view id, const std::vector<ferromq::queue> &queues,
                            const std::vector<std::string_view> &members) {
        CHECK(group == "G" && members.size() == 1 && members[0] == id);
        // The topic of the group's retries is shared, too.
        CHECK(queues.size() == (queues[0].topic == "T" ? 4 : 1));
        return std::vector<ferromq::queue>{queues.back()};
    });
    consumer.subscribe("T");
    consumer.start();
    while (consumer.queues().size() != 1) {
        std::this_thread::yield();
    }
    CHECK(consumer.queues()[0].topic == "T" && consumer.queues()[0].id == 3);
    ferromq::push_consumer push = mq.push_consumer("H");
    push.allocate_by([](std::string_view, std::string_view, const std::vector<ferromq::queue> &,
                        const std::vector<std::string_view> &) -> std::vector<ferromq::queue> { throw 7; });
    push.subscribe("T");
    push.listen([](const ferromq::message_list &) {});
    push.start();
    CHECK(push.queues().empty());
}

static void moved_from() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 1);
    mq.producer("P").send(ferromq::message("T", "x").body(ferromq::bytes()).body("y"));
    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.subscribe("T");
    ferromq::messages list = consumer.poll(HANG);
    ferromq::stored_message kept(list[0]);
    ferromq::messages other = std::move(list);
    ferromq::stored_message also = std::move(kept);
    CHECK(list.empty() && kept.get() == nullptr && other.size() == 1 && also.text() == "y");
    list = std::move(other);
    kept = std::move(also);
    CHECK(other.empty() && also.get() == nullptr && list.size() == 1 && kept.text() == "y");
    ferromq::message draft("T", "x");
    CHECK(kind_of([&] { draft.transaction_check_immunity(std::chrono::seconds(-1)); }) == kind::invalid_argument);
    draft.transaction_check_immunity(std::chrono::hours(24 * 365 * 1000));
}

static void settings() {
    const std::map<std::string, std::string> pairs{{"producerGroup", "FromMap"}};
    ferromq::instance mq = ferromq::open_memory();
    CHECK(mq.producer("", ferromq::options(pairs)).group() == "FromMap");
    ferromq::options several;
    several.set("sendMsgTimeout", 1500ms).set("enableMsgTrace", false).set("retryTimesWhenSendFailed", 3);
    CHECK(mq.producer("Own", several).group() == "Own");
    CHECK(!mq.listening() && !mq.client_id().empty() && !ferromq::version().empty());
    CHECK(ferromq::open_memory({{"listen", "free"}}).listening()->first > 0);
}

static bool has(const std::string &json, const char *part) { return json.find(part) != std::string::npos; }

static void operators() {
    ferromq::instance mq = ferromq::open_memory();
    const ferromq::admin admin = mq.admin();
    admin.create_topic("T", {{"readQueueNums", "2"}, {"writeQueueNums", "2"}});
    CHECK(admin.topics() == "[\"T\"]" && has(admin.all_topics(), "TBW102"));
    mq.producer("P").send({"T", "x"});
    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.subscribe("T");
    CHECK(consumer.poll(HANG).size() == 1);
    consumer.commit();
    consumer.flush();
    CHECK(has(admin.topic("T"), "\"messages\":1") && has(admin.groups(), "\"G\""));
    CHECK(has(admin.members("G"), "\"messageModel\":\"CLUSTERING\"") && has(admin.progress("G"), "\"lag\":0"));
    consumer.close();
    CHECK(has(admin.reset_offsets("G", "T", FMQ_BEGIN), "\"offset\":0"));
    CHECK(has(admin.cluster(), "\"brokerName\":\"ferromq\""));
    admin.delete_group("G");
    admin.delete_topic("T");
    CHECK(admin.topics() == "[]" && kind_of([&] { admin.topic("T"); }) == kind::not_found);
}

static void event_loops() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("T", 1);
    ferromq::consumer consumer = mq.consumer("G", from_first());
    consumer.subscribe("T");
    pollfd watched{consumer.fd(), POLLIN, 0};
    ferromq::producer producer = mq.producer("P");
    for (int number = 0; number < 50; ++number) {
        producer.send({"T", "x"});
    }
    std::size_t seen = 0;
    while (seen < 50) {
        CHECK(poll(&watched, 1, static_cast<int>(HANG.count())) == 1);
        seen += consumer.poll(0ms).size();
    }
    consumer.close();

    ferromq::consumer other = mq.consumer("H", from_first());
    other.subscribe("T");
    inbox<bool> ready;
    const auto held = std::make_shared<int>(0);
    other.on_ready([&ready, held] { ready.put(true); });
    for (seen = 0; seen < 50;) {
        ready.take();
        for (std::size_t some = 1; some > 0; seen += some) {
            some = other.poll(0ms).size();
        }
    }
    other.close();
    CHECK(held.use_count() == 1);
}

static void servers() {
    ferromq::server server = ferromq::start_server("", {{"listen", "free"}});
    CHECK(server.ports().first > 0 && server.ports().second > 0);
    ferromq::instance client = ferromq::connect(server.name_servers());
    client.create_topic("T", 1);
    CHECK(client.producer("P").send({"T", "x"}).queue_offset() == 0);
    client.close();
    server.stop();
    CHECK(kind_of([&] { ferromq::start_broker({{"flushDiskType", "NEVER"}}); }) == kind::invalid_argument);
    ferromq::server names = ferromq::start_namesrv({{"listenPort", "0"}, {"bindAddress", "127.0.0.1"}});
    CHECK(names.ports().first > 0 && names.ports().second == 0);
}

static void logs() {
    inbox<std::string> lines;
    const auto held = std::make_shared<int>(0);
    ferromq::set_log(ferromq::log_level::trace, [&lines, held](ferromq::log_level, std::string_view part, std::string_view text) {
        lines.put(std::string(part) + std::string(text));
    });
    ferromq::open_memory().close();
    CHECK(!lines.take().empty());
    ferromq::clear_log();
    CHECK(held.use_count() == 1);
}

static void in_process() {
    ferromq::instance mq = ferromq::open_memory();
    mq.create_topic("Ticks", 2);
    ferromq::appender appender = mq.appender("Ticks", 1);
    CHECK(appender.append("one") == 0);
    CHECK(appender.append(ferromq::message("Ticks", "two").tag("t").key("k")) == 1);
    CHECK(appender.append_batch(std::vector<std::string>{"three", std::string(5000, 'x')}) == 2);
    const std::array<std::byte, 2> raw{std::byte{0}, std::byte{255}};
    CHECK(appender.append(ferromq::bytes(raw.data(), raw.size())) == 4);
    CHECK(appender.append_batch(std::array<ferromq::bytes, 1>{ferromq::bytes(raw.data(), 1)}) == 5);
    ferromq::reader reader = mq.reader("Ticks", 1);
    std::vector<std::string> got;
    while (const auto entry = reader.read()) {
        CHECK(entry->offset == static_cast<std::int64_t>(got.size()));
        got.emplace_back(entry->text());
    }
    const std::vector<std::string> expected{"one", "two", "three", std::string(5000, 'x'), std::string("\0\xff", 2),
                                            std::string(1, '\0')};
    CHECK(got == expected && reader.offset() == 6 && !reader.read());
    reader.seek(2);
    CHECK(reader.read()->text() == "three" && reader.offset() == 3);
    CHECK(kind_of([&] { appender.append(""); }) == kind::invalid_argument);
    CHECK(kind_of([&] { appender.append_batch(std::vector<std::string>()); }) == kind::invalid_argument);
    CHECK(kind_of([&] { mq.appender("Ticks", 7); }) == kind::invalid_argument);
    CHECK(kind_of([&] { mq.reader("Nowhere", 0); }) == kind::not_found);
    ferromq::appender moved = std::move(appender);
    CHECK(moved.append("more") == 6);
    CHECK(kind_of([&] { appender.append("from nothing"); }) == kind::invalid_argument);
    mq.close();
    CHECK(kind_of([&] { moved.append("late"); }) == kind::closed);
    CHECK(kind_of([&] { reader.read(); }) == kind::closed);
}

int main() {
    errors();
    in_process();
    handles();
    messages();
    futures();
    callables();
    ranges();
    ranges_after_errors();
    shares();
    moved_from();
    settings();
    operators();
    event_loops();
    servers();
    logs();
    std::puts("ok");
}
