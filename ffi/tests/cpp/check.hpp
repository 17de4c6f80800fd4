// What the test programs share: checks that end the program with place and expression, and an inbox between threads.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <queue>
#include <string>

#include "ferromq.hpp"

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds);                                   \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (false)

/// Longer than anything here takes on the slowest machine: its passing means that something hangs.
constexpr std::chrono::milliseconds HANG{120'000};

/// Where callbacks put what the program waits for.
template <class Value> class inbox {
public:
    void put(Value value) {
        const std::lock_guard lock(mutex_);
        values_.push(std::move(value));
        arrived_.notify_all();
    }

    /// The next value; ends the program if none comes.
    Value take() {
        std::optional<Value> value = take_within(HANG);
        CHECK(value.has_value());
        return *value;
    }

    std::optional<Value> take_within(std::chrono::milliseconds limit) {
        std::unique_lock lock(mutex_);
        if (!arrived_.wait_for(lock, limit, [&] { return !values_.empty(); })) {
            return std::nullopt;
        }
        std::optional<Value> value(std::move(values_.front()));
        values_.pop();
        return value;
    }

private:
    std::mutex mutex_;
    std::condition_variable arrived_;
    std::queue<Value> values_;
};

/// The kind of the error that a call throws; ends the program if it throws none.
template <class Call> ferromq::kind kind_of(Call &&call) {
    try {
        call();
    } catch (const ferromq::error &error) {
        CHECK(*error.what() != '\0');
        return error.kind();
    }
    std::fprintf(stderr, "a call that should fail did not\n");
    std::exit(1);
}

#endif
