// What the programs share. Each is complete in its file otherwise:
//
//     c++ -std=c++17 quickstart.cpp $(pkg-config --cflags --libs ferromq) -pthread -o quickstart
//     ./quickstart                      # everything in this process, in memory
//     ./quickstart ./data               # the same, kept in a directory
//     ./quickstart 127.0.0.1:9876       # a cluster, FerroMQ's or Apache's
#ifndef EXAMPLES_HPP
#define EXAMPLES_HPP

#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <queue>
#include <sstream>
#include <string>
#include <string_view>

#include <ferromq.hpp>

// How long the programs wait for messages that are sure to come.
constexpr std::chrono::milliseconds PATIENCE{60'000};

// What the environment says, or something else.
inline std::string from_environment(const char *name, const std::string &otherwise) {
    const char *value = std::getenv(name);
    return value && *value ? value : otherwise;
}

// The name of a group: the environment's, or the program's own.
inline std::string producer_group(const char *own) { return from_environment("PRODUCER_GROUP", own); }
inline std::string consumer_group(const char *own) { return from_environment("CONSUMER_GROUP", own); }

// The settings of a server in this process: FERROMQ_OPTIONS holds them as key=value, separated by semicolons.
inline ferromq::options server_options() {
    ferromq::options settings;
    std::istringstream pairs(from_environment("FERROMQ_OPTIONS", ""));
    for (std::string pair; std::getline(pairs, pair, ';');) {
        const std::size_t equals = pair.find('=');
        settings.set(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return settings;
}

// Where messages go: to the cluster whose name servers the first argument is (host:port) or NAMESRV_ADDR, into the directory
// that the argument is, or into memory.
inline ferromq::instance instance(int count, char **arguments) {
    const std::string place = count > 1 ? arguments[1] : from_environment("NAMESRV_ADDR", "");
    if (place.empty()) {
        return ferromq::open_memory(server_options());
    }
    if (place.find(':') != std::string::npos) {
        return ferromq::connect(place);
    }
    return ferromq::open(place, server_options());
}

// A consumer's group that is new begins with the first message.
inline ferromq::options from_first() { return {{"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"}}; }

// A consumer that calls the listener with each message of a topic whose tag the expression names. It runs until it is closed
// or ends.
template <class Listener>
ferromq::push_consumer subscribe(ferromq::instance &mq, std::string_view group, std::string_view topic,
                                 std::string_view expression, Listener listener) {
    ferromq::push_consumer consumer = mq.push_consumer(group, from_first());
    consumer.subscribe(topic, expression);
    consumer.listen_one(std::move(listener));
    consumer.start();
    return consumer;
}

// What listeners tell the program: a queue between threads.
template <class Value> class channel {
public:
    void send(Value value) {
        const std::lock_guard lock(mutex_);
        values_.push(std::move(value));
        arrived_.notify_one();
    }
    // The next value; an exception if none comes.
    Value receive(std::chrono::milliseconds patience = PATIENCE) {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait_for(lock, patience, [this] { return !values_.empty(); })) {
            throw std::runtime_error("what was waited for did not come");
        }
        Value value = std::move(values_.front());
        values_.pop();
        return value;
    }
    bool empty() {
        const std::lock_guard lock(mutex_);
        return values_.empty();
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::queue<Value> values_;
};

// Runs a program: what it throws is told, and is its exit code.
template <class Program> int run(Program program) {
    try {
        program();
        return EXIT_SUCCESS;
    } catch (const std::exception &failure) {
        std::cerr << failure.what() << '\n';
        return EXIT_FAILURE;
    }
}

#endif
