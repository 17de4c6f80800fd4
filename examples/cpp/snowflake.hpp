// Numbers that are unique over many machines without asking anyone: time, node and a counter in 64 bits.
#ifndef SNOWFLAKE_HPP
#define SNOWFLAKE_HPP

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

// Makes up to 4096 numbers a millisecond, each larger than the one before. Up to 1024 nodes make different ones.
class snowflakes {
public:
    // The node is 0 to 1023 and another one in each process; what is beyond is cut off.
    explicit snowflakes(std::uint64_t node) : node_(node & 1023) {}

    // The next number: 41 bits of milliseconds, 10 of the node, 12 of the counter.
    std::uint64_t next_id() {
        const std::lock_guard lock(mutex_);
        // A clock that was set back does not matter: the time of the last number goes on counting.
        const std::uint64_t now = std::max(now_ms(), ms_);
        if (now > ms_) {
            ms_ = now;
            count_ = 0;
        } else if (count_ == 4095) {
            ms_ += 1;
            count_ = 0;
        } else {
            count_ += 1;
        }
        return ms_ << 22 | node_ << 12 | count_;
    }

private:
    // Since 2024-01-01.
    static std::uint64_t now_ms() {
        using namespace std::chrono;
        const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
        return static_cast<std::uint64_t>(now - 1'704'067'200'000);
    }

    const std::uint64_t node_;
    std::mutex mutex_;
    std::uint64_t ms_ = 0, count_ = 0;
};

#endif
