/*
 * FerroMQ for C++17 and later: a durable message queue in this process, and a client of clusters, FerroMQ's or Apache
 * RocketMQ's. docs/cpp.md begins with a program; examples/cpp has many.
 *
 *     ferromq::instance mq = ferromq::open("./data");
 *     mq.create_topic("Orders", 4);
 *     ferromq::producer producer = mq.producer("shop");
 *     producer.send({"Orders", "two apples"});
 *
 * This file is all there is: it lies over the C ABI of ferromq.h, links with -lferromq and needs no build step.
 *
 * ERRORS are exceptions: ferromq::error, by its kind(). HANDLES (instance, producer, consumer ...) can be moved and not
 * copied; they close what they hold when they end, silently: call close() to hear of errors. An instance closes all that was
 * made from it, whatever ends first. VIEWS (message_view, message_list of a listener) are valid as long as ferromq.h says:
 * in a list as long as the list, in a callback during the callback; stored_message is one that is kept.
 *
 * CALLBACKS are whatever can be called: lambdas, functions. They run on threads of the library, may call everything and are
 * destroyed when they are not called any more. An exception that leaves one counts as "later", "unknown" or "no queue", as
 * is said with each.
 */
#ifndef FERROMQ_HPP
#define FERROMQ_HPP

#include "ferromq.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif

namespace ferromq {

using std::chrono::milliseconds;

#if defined(__cpp_lib_span)
/** Bytes of somebody else's. */
using bytes = std::span<const std::byte>;
#else
/** Bytes of somebody else's: what std::span<const std::byte> is from C++20 on. */
class bytes {
public:
    using value_type = std::byte;
    using iterator = const std::byte *;

    constexpr bytes() noexcept = default;
    constexpr bytes(const std::byte *data, std::size_t size) noexcept : data_(data), size_(size) {}
    /** Those of a container such as std::vector<std::byte>. */
    template <class Container,
              class = std::enable_if_t<std::is_convertible_v<
                  decltype(std::declval<const Container &>().data()), const std::byte *>>>
    constexpr bytes(const Container &container) noexcept : bytes(container.data(), container.size()) {}

    constexpr const std::byte *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr iterator begin() const noexcept { return data_; }
    constexpr iterator end() const noexcept { return data_ + size_; }
    constexpr const std::byte &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};
#endif

/** What kind of failure an error is. The numbers are fixed; later versions may add some. docs/errors.md lists them. */
enum class kind : std::int32_t {
    invalid_argument = FMQ_INVALID_ARGUMENT,
    io = FMQ_IO,
    corrupt = FMQ_CORRUPT,
    timeout = FMQ_TIMEOUT,
    connection = FMQ_CONNECTION,
    closed = FMQ_CLOSED,
    not_found = FMQ_NOT_FOUND,
    no_permission = FMQ_NO_PERMISSION,
    limit_exceeded = FMQ_LIMIT_EXCEEDED,
    in_use = FMQ_IN_USE,
    not_writable = FMQ_NOT_WRITABLE,
    remote = FMQ_REMOTE,
    unsupported = FMQ_UNSUPPORTED,
    internal = FMQ_INTERNAL,
    forked = FMQ_FORKED,
};

/** Why a call failed. what() is a line that names the thing, the value and the way out. */
class error : public std::runtime_error {
public:
    error(ferromq::kind kind, const std::string &message) : std::runtime_error(message), kind_(kind) {}

    /** What is in an error of the C ABI, which stays its owner's. */
    explicit error(const fmq_error *from)
        : std::runtime_error(fmq_error_message(from)), kind_(static_cast<ferromq::kind>(fmq_error_code(from))),
          retriable_(fmq_error_is_retriable(from)) {
        if (const std::int32_t code = fmq_error_response_code(from); code >= 0) {
            code_ = code;
        }
        if (const char *topic = fmq_error_topic(from)) {
            const char *id = fmq_error_message_id(from);
            const char *broker = fmq_error_broker(from);
            send_ = std::make_shared<const unsent>(
                unsent{topic, id ? id : "", broker ? broker : "", fmq_error_attempts(from)});
        }
    }

    /** What kind of failure it is. */
    ferromq::kind kind() const noexcept { return kind_; }
    /** The response code of the protocol that a peer answered with. */
    std::optional<std::int32_t> code() const noexcept { return code_; }
    /** Whether the same call may succeed when repeated. */
    bool is_retriable() const noexcept { return retriable_; }
    /** Of a failed send: the topic; empty of other errors. */
    std::string_view topic() const noexcept { return send_ ? std::string_view(send_->topic) : std::string_view(); }
    /** Of a failed send: the message's id, under which it is found if it was stored all the same. */
    std::string_view message_id() const noexcept { return send_ ? std::string_view(send_->id) : std::string_view(); }
    /** Of a failed send: the broker that was tried last; empty if none was. */
    std::string_view broker() const noexcept { return send_ ? std::string_view(send_->broker) : std::string_view(); }
    /** Of a failed send: how often it was tried. */
    std::size_t attempts() const noexcept { return send_ ? send_->attempts : 0; }

private:
    struct unsent {
        std::string topic, id, broker;
        std::size_t attempts;
    };
    ferromq::kind kind_;
    bool retriable_ = false;
    std::optional<std::int32_t> code_;
    // Shared, so that copying an error never throws.
    std::shared_ptr<const unsent> send_;
};

/** What is behind the names of this header; nothing here is promised. */
namespace detail {

/** Throws what a call of the C ABI returned, unless it is success. */
inline void check(fmq_error *failed) {
    if (failed) {
        const std::unique_ptr<fmq_error, void (*)(fmq_error *)> owned(failed, fmq_error_free);
        throw error(failed);
    }
}

/** A text as C reads it. */
class text {
public:
    text(std::string_view from) : owned_(from) {
        if (owned_.find('\0') != std::string::npos) {
            throw error(kind::invalid_argument, "pass text: it has a NUL inside");
        }
    }
    operator const char *() const noexcept { return owned_.c_str(); }

private:
    std::string owned_;
};

template <auto Free> struct deleter {
    template <class Handle> void operator()(Handle *handle) const noexcept { Free(handle); }
};

template <class Handle, auto Free> using owner = std::unique_ptr<Handle, deleter<Free>>;

/** Frees a callable that was given to the library as user_data. */
template <class Callable> void destroy(void *user_data) noexcept { delete static_cast<Callable *>(user_data); }

inline std::string_view view(const char *from) noexcept { return from ? std::string_view(from) : std::string_view(); }

inline std::optional<std::string_view> maybe(const char *from) noexcept {
    return from ? std::optional<std::string_view>(from) : std::nullopt;
}

/** A time as the C ABI takes it: none below 0, the longest for what is longer. */
template <class Time> std::uint32_t unsigned_time(const char *what, Time time) {
    if (time.count() < 0) {
        throw error(kind::invalid_argument, std::string(what) + ": a time is not below 0");
    }
    return time.count() > static_cast<std::int64_t>(UINT32_MAX) ? UINT32_MAX : static_cast<std::uint32_t>(time.count());
}

inline bytes as_bytes(const char *data, std::size_t size) noexcept {
    return bytes(reinterpret_cast<const std::byte *>(data), size);
}

} // namespace detail

/** The version of the library. */
inline std::string_view version() noexcept { return fmq_version(); }

/** How much a line of the log matters. */
enum class log_level : std::int32_t {
    off = FMQ_LOG_OFF,
    error = FMQ_LOG_ERROR,
    warn = FMQ_LOG_WARN,
    info = FMQ_LOG_INFO,
    debug = FMQ_LOG_DEBUG,
    trace = FMQ_LOG_TRACE,
};

/**
 * Has the log of the whole library, of this level and what matters more, handed to
 * callback(log_level, std::string_view part, std::string_view text), in place of the one before. It runs on whichever thread
 * has something to say, several at a time. Without it nothing is logged.
 */
template <class Callback> void set_log(log_level level, Callback callback) {
    using own = std::decay_t<Callback>;
    const auto call = [](std::int32_t matters, const char *part, const char *text, void *user_data) {
        try {
            (*static_cast<own *>(user_data))(static_cast<log_level>(matters), std::string_view(part),
                                             std::string_view(text));
        } catch (...) {
            // There is nobody to tell.
        }
    };
    detail::check(fmq_log_set(static_cast<std::int32_t>(level), call, new own(std::move(callback)),
                              detail::destroy<own>));
}

/** Ends what set_log began. */
inline void clear_log() { detail::check(fmq_log_set(FMQ_LOG_OFF, nullptr, nullptr, nullptr)); }

/** Settings by their names, which docs/client.md and docs/settings.md list: {{"flushDiskType", "SYNC_FLUSH"}}. */
class options {
public:
    options() {
        fmq_options *made = nullptr;
        detail::check(fmq_options_new(&made));
        handle_.reset(made);
    }
    options(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) : options() {
        for (const auto &[key, value] : pairs) {
            set(key, value);
        }
    }
    /** What a container of pairs such as std::map<std::string, std::string> says. */
    template <class Pairs, class = decltype(std::begin(std::declval<const Pairs &>())->second)>
    explicit options(const Pairs &pairs) : options() {
        for (const auto &[key, value] : pairs) {
            set(key, value);
        }
    }

    options &set(std::string_view key, std::string_view value) {
        detail::check(fmq_options_set(handle_.get(), detail::text(key), detail::text(value)));
        return *this;
    }
    options &set(std::string_view key, const char *value) { return set(key, std::string_view(value)); }
    options &set(std::string_view key, const std::string &value) { return set(key, std::string_view(value)); }
    options &set(std::string_view key, milliseconds value) { return set(key, std::to_string(value.count())); }
    template <class Number, class = std::enable_if_t<std::is_integral_v<Number>>>
    options &set(std::string_view key, Number value) {
        if constexpr (std::is_same_v<Number, bool>) {
            return set(key, value ? "true" : "false");
        } else {
            return set(key, std::to_string(value));
        }
    }

    const fmq_options *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_options, fmq_options_free> handle_;
};

/** One queue of a topic. */
struct queue {
    std::string topic;
    /** Name of the broker. */
    std::string broker;
    /** Number at the broker. */
    std::int32_t id = 0;

    queue() = default;
    queue(std::string topic, std::string broker, std::int32_t id)
        : topic(std::move(topic)), broker(std::move(broker)), id(id) {}
    explicit queue(const fmq_queue *from)
        : topic(detail::view(fmq_queue_topic(from))), broker(detail::view(fmq_queue_broker(from))),
          id(fmq_queue_id(from)) {}

    friend bool operator==(const queue &one, const queue &other) { return one.parts() == other.parts(); }
    friend bool operator!=(const queue &one, const queue &other) { return !(one == other); }
    friend bool operator<(const queue &one, const queue &other) { return one.parts() < other.parts(); }
    friend std::ostream &operator<<(std::ostream &out, const queue &one) {
        return out << one.topic << '/' << one.broker << '/' << one.id;
    }

private:
    std::tuple<const std::string &, const std::string &, const std::int32_t &> parts() const {
        return std::tie(topic, broker, id);
    }
};

namespace detail {

using queue_handle = owner<fmq_queue, fmq_queue_free>;
using queues_handle = owner<fmq_queues, fmq_queues_free>;

inline queue_handle to_c(const queue &from) {
    fmq_queue *made = nullptr;
    check(fmq_queue_new(text(from.topic), text(from.broker), from.id, &made));
    return queue_handle(made);
}

inline queues_handle to_c(const std::vector<queue> &from) {
    fmq_queues *made = nullptr;
    check(fmq_queues_new(&made));
    queues_handle list(made);
    for (const queue &one : from) {
        check(fmq_queues_add(made, to_c(one).get()));
    }
    return list;
}

inline std::vector<queue> from_c(const fmq_queues *from) {
    std::vector<queue> list;
    const std::size_t count = fmq_queues_count(from);
    list.reserve(count);
    for (std::size_t index = 0; index < count; ++index) {
        list.emplace_back(fmq_queues_at(from, index));
    }
    return list;
}

/** The queues that a call of the C ABI gives. */
template <class Call> std::vector<queue> queues_of(Call &&call) {
    fmq_queues *found = nullptr;
    check(call(&found));
    const queues_handle owned(found);
    return from_c(found);
}

} // namespace detail

/** A message to be sent, as it is seen by who chooses its queue or runs its transaction. */
class outgoing_view {
public:
    explicit outgoing_view(const fmq_message *message) noexcept : message_(message) {}

    std::string_view topic() const noexcept { return detail::view(fmq_message_topic(message_)); }
    /** The body as text. */
    std::string_view text() const noexcept {
        std::size_t size = 0;
        const char *data = fmq_message_body(message_, &size);
        return std::string_view(data, size);
    }
    bytes body() const noexcept { return detail::as_bytes(text().data(), text().size()); }
    std::optional<std::string_view> tag() const noexcept { return detail::maybe(fmq_message_tag(message_)); }
    /** The keys, separated by spaces. */
    std::optional<std::string_view> keys() const noexcept { return detail::maybe(fmq_message_keys(message_)); }
    std::optional<std::string_view> property(std::string_view name) const {
        return detail::maybe(fmq_message_property(message_, detail::text(name)));
    }
    const fmq_message *get() const noexcept { return message_; }

protected:
    const fmq_message *message_;
};

/** A message to be sent. It may be sent several times. */
class message {
public:
    message(std::string_view topic, std::string_view body) : message(topic, body.data(), body.size()) {}
    message(std::string_view topic, const char *body) : message(topic, std::string_view(body)) {}
    message(std::string_view topic, const std::string &body) : message(topic, std::string_view(body)) {}
    message(std::string_view topic, bytes body) : message(topic, body.data(), body.size()) {}
    message(std::string_view topic, const void *body, std::size_t size) {
        fmq_message *made = nullptr;
        detail::check(fmq_message_new(detail::text(topic), body, size, &made));
        handle_.reset(made);
    }

    message &body(std::string_view body) & {
        detail::check(fmq_message_set_body(get(), body.data(), body.size()));
        return *this;
    }
    message &body(bytes body) & {
        detail::check(fmq_message_set_body(get(), body.data(), body.size()));
        return *this;
    }
    /** The one tag that a message may have: consumers choose by it. */
    message &tag(std::string_view tag) & {
        detail::check(fmq_message_set_tag(get(), detail::text(tag)));
        return *this;
    }
    /** Adds a business key, under which it can be found and told from its duplicates. */
    message &key(std::string_view key) & {
        detail::check(fmq_message_add_key(get(), detail::text(key)));
        return *this;
    }
    /** A property of the user's. */
    message &property(std::string_view name, std::string_view value) & {
        detail::check(fmq_message_set_property(get(), detail::text(name), detail::text(value)));
        return *this;
    }
    /** Consumers get it when the time of this level of the broker's has passed: 1 is 1 s, 2 5 s, 3 10 s ... */
    message &delay_level(std::int32_t level) & {
        detail::check(fmq_message_set_delay_level(get(), level));
        return *this;
    }
    /** The key by which its order counts. */
    message &sharding_key(std::string_view key) & {
        detail::check(fmq_message_set_sharding_key(get(), detail::text(key)));
        return *this;
    }
    /** A number that is carried and never looked at. */
    message &flag(std::int32_t flag) & {
        detail::check(fmq_message_set_flag(get(), flag));
        return *this;
    }
    /** Whether the broker answers only when the message is as safe as its modes promise; the default. */
    message &wait(bool wait) & {
        detail::check(fmq_message_set_wait(get(), wait));
        return *this;
    }
    /** In a transaction: the broker does not ask what became of it before this time. */
    message &transaction_check_immunity(std::chrono::seconds time) & {
        detail::check(fmq_message_set_transaction_check_immunity(
            get(), detail::unsigned_time("set check immunity", time)));
        return *this;
    }

    // The same of one that was just made: message("T", "x").tag("a").key("k").
    message &&body(std::string_view body) && { return std::move(this->body(body)); }
    message &&body(bytes body) && { return std::move(this->body(body)); }
    message &&tag(std::string_view tag) && { return std::move(this->tag(tag)); }
    message &&key(std::string_view key) && { return std::move(this->key(key)); }
    message &&property(std::string_view name, std::string_view value) && {
        return std::move(this->property(name, value));
    }
    message &&delay_level(std::int32_t level) && { return std::move(this->delay_level(level)); }
    message &&sharding_key(std::string_view key) && { return std::move(this->sharding_key(key)); }
    message &&flag(std::int32_t flag) && { return std::move(this->flag(flag)); }
    message &&wait(bool wait) && { return std::move(this->wait(wait)); }
    message &&transaction_check_immunity(std::chrono::seconds time) && {
        return std::move(this->transaction_check_immunity(time));
    }

    /** What it holds. */
    outgoing_view view() const noexcept { return outgoing_view(handle_.get()); }

    const fmq_message *get() const noexcept { return handle_.get(); }
    fmq_message *get() noexcept { return handle_.get(); }

private:
    detail::owner<fmq_message, fmq_message_free> handle_;
};

/** A message as a consumer gets it, which somebody else keeps. */
class message_view {
public:
    message_view() noexcept = default;
    explicit message_view(const fmq_stored_message *message) noexcept : message_(message) {}

    /** The topic; of a retried message the one that it was first sent to. */
    std::string_view topic() const noexcept { return detail::view(fmq_stored_message_topic(message_)); }
    /** The body as text. */
    std::string_view text() const noexcept {
        std::size_t size = 0;
        const char *data = fmq_stored_message_body(message_, &size);
        return data ? std::string_view(data, size) : std::string_view();
    }
    bytes body() const noexcept {
        const std::string_view all = text();
        return detail::as_bytes(all.data(), all.size());
    }
    /** The id that its producer gave it, the same in every delivery. */
    std::string_view id() const noexcept { return detail::view(fmq_stored_message_id(message_)); }
    /** The id of the place where it is stored; another one after each retry. */
    std::string_view offset_id() const noexcept { return detail::view(fmq_stored_message_offset_id(message_)); }
    std::optional<std::string_view> tag() const noexcept { return detail::maybe(fmq_stored_message_tag(message_)); }
    /** The keys, separated by spaces. */
    std::optional<std::string_view> keys() const noexcept { return detail::maybe(fmq_stored_message_keys(message_)); }
    /** The value of a property, the user's or the system's. */
    std::optional<std::string_view> property(std::string_view name) const {
        return detail::maybe(fmq_stored_message_property(message_, detail::text(name)));
    }
    /** All properties, by name. */
    std::vector<std::pair<std::string_view, std::string_view>> properties() const {
        std::vector<std::pair<std::string_view, std::string_view>> all;
        const char *name = nullptr, *value = nullptr;
        for (std::size_t index = 0; fmq_stored_message_property_at(message_, index, &name, &value); ++index) {
            all.emplace_back(name, value);
        }
        return all;
    }
    /** Name of the broker that it comes from. */
    std::string_view broker() const noexcept { return detail::view(fmq_stored_message_broker(message_)); }
    std::int32_t queue_id() const noexcept { return fmq_stored_message_queue_id(message_); }
    std::int64_t queue_offset() const noexcept { return fmq_stored_message_queue_offset(message_); }
    std::int64_t physical_offset() const noexcept { return fmq_stored_message_physical_offset(message_); }
    std::int32_t flag() const noexcept { return fmq_stored_message_flag(message_); }
    std::int32_t sys_flag() const noexcept { return fmq_stored_message_sys_flag(message_); }
    /** When it was made, ms since 1970 by its producer's clock. */
    std::int64_t born_timestamp() const noexcept { return fmq_stored_message_born_timestamp(message_); }
    std::string_view born_host() const noexcept { return detail::view(fmq_stored_message_born_host(message_)); }
    /** When it was stored, ms since 1970 by the broker's clock. */
    std::int64_t store_timestamp() const noexcept { return fmq_stored_message_store_timestamp(message_); }
    /** How often it was consumed in vain. */
    std::int32_t reconsume_times() const noexcept { return fmq_stored_message_reconsume_times(message_); }

    const fmq_stored_message *get() const noexcept { return message_; }

protected:
    const fmq_stored_message *message_ = nullptr;
};

/** A message that is kept: for what outlives its list or callback. The body is shared, not copied. */
class stored_message : public message_view {
public:
    /** Keeps a message. */
    explicit stored_message(const message_view &from) {
        fmq_stored_message *copy = nullptr;
        detail::check(fmq_stored_message_clone(from.get(), &copy));
        *this = stored_message(copy);
    }
    /** Takes one that the C ABI gave. */
    explicit stored_message(fmq_stored_message *owned) noexcept : message_view(owned), handle_(owned) {}
    stored_message(stored_message &&from) noexcept : message_view(from), handle_(std::move(from.handle_)) {
        from.message_ = nullptr;
    }
    stored_message &operator=(stored_message &&from) noexcept {
        handle_ = std::move(from.handle_);
        message_ = handle_.get();
        from.message_ = from.handle_.get();
        return *this;
    }

private:
    detail::owner<fmq_stored_message, fmq_stored_message_free> handle_;
};

/** Messages of one queue in their order: a range of message_view. */
class message_list {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = message_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const message_view *;
        using reference = message_view;

        iterator() noexcept = default;
        iterator(const fmq_messages *list, std::size_t index) noexcept : list_(list), index_(index) {}
        message_view operator*() const noexcept { return message_view(fmq_messages_at(list_, index_)); }
        iterator &operator++() noexcept {
            ++index_;
            return *this;
        }
        iterator operator++(int) noexcept {
            iterator before = *this;
            ++index_;
            return before;
        }
        friend bool operator==(const iterator &one, const iterator &other) noexcept {
            return one.index_ == other.index_;
        }
        friend bool operator!=(const iterator &one, const iterator &other) noexcept { return !(one == other); }

    private:
        const fmq_messages *list_ = nullptr;
        std::size_t index_ = 0;
    };

    message_list() noexcept = default;
    explicit message_list(const fmq_messages *list) noexcept : list_(list) {}

    std::size_t size() const noexcept { return fmq_messages_count(list_); }
    bool empty() const noexcept { return size() == 0; }
    message_view operator[](std::size_t index) const noexcept { return message_view(fmq_messages_at(list_, index)); }
    message_view front() const noexcept { return (*this)[0]; }
    message_view back() const noexcept { return (*this)[size() - 1]; }
    iterator begin() const noexcept { return iterator(list_, 0); }
    iterator end() const noexcept { return iterator(list_, size()); }

    const fmq_messages *get() const noexcept { return list_; }

protected:
    const fmq_messages *list_ = nullptr;
};

/** A list with its messages, which are valid as long as it. */
class messages : public message_list {
public:
    messages() noexcept = default;
    explicit messages(fmq_messages *owned) noexcept : message_list(owned), handle_(owned) {}
    messages(messages &&from) noexcept : message_list(from), handle_(std::move(from.handle_)) { from.list_ = nullptr; }
    messages &operator=(messages &&from) noexcept {
        handle_ = std::move(from.handle_);
        list_ = handle_.get();
        from.list_ = from.handle_.get();
        return *this;
    }

private:
    detail::owner<fmq_messages, fmq_messages_free> handle_;
};

/** How safe a message is that is stored. */
enum class send_status : std::int32_t {
    ok = FMQ_SEND_OK,
    flush_disk_timeout = FMQ_FLUSH_DISK_TIMEOUT,
    flush_slave_timeout = FMQ_FLUSH_SLAVE_TIMEOUT,
    slave_not_available = FMQ_SLAVE_NOT_AVAILABLE,
};

/** What became of a send. */
class sent {
public:
    explicit sent(const fmq_sent *from)
        : status_(static_cast<send_status>(fmq_sent_status(from))), id_(detail::view(fmq_sent_message_id(from))),
          offset_id_(detail::view(fmq_sent_offset_id(from))), queue_(fmq_sent_queue(from)),
          queue_offset_(fmq_sent_queue_offset(from)), line_(detail::view(fmq_sent_line(from))) {}

    send_status status() const noexcept { return status_; }
    /** The message's id, the same in every delivery; of a batch those of all, separated by commas. */
    const std::string &message_id() const noexcept { return id_; }
    /** The id of its place at the broker. */
    const std::string &offset_id() const noexcept { return offset_id_; }
    const ferromq::queue &queue() const noexcept { return queue_; }
    /** Its place in the queue; of a batch that of the first message. */
    std::int64_t queue_offset() const noexcept { return queue_offset_; }
    /** All of it in a line, for logs. */
    const std::string &line() const noexcept { return line_; }

    friend std::ostream &operator<<(std::ostream &out, const sent &one) { return out << one.line_; }

private:
    send_status status_;
    std::string id_, offset_id_;
    ferromq::queue queue_;
    std::int64_t queue_offset_;
    std::string line_;
};

/** What a callback of a send gets: a value, or the error. */
template <class Value> class result {
public:
    explicit result(Value value) : value_(std::move(value)) {}
    explicit result(ferromq::error error) : error_(std::move(error)) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    /** The value; throws the error if there is none. */
    Value &value() {
        if (error_) {
            throw *error_;
        }
        return *value_;
    }
    /** Why there is no value; to be called only then. */
    const ferromq::error &error() const { return error_.value(); }

private:
    std::optional<Value> value_;
    std::optional<ferromq::error> error_;
};

/** What can be different for one send. */
class send_options {
public:
    send_options() {
        fmq_send_options *made = nullptr;
        detail::check(fmq_send_options_new(&made));
        handle_.reset(made);
    }

    /** The time limit of the send, all attempts together; sendMsgTimeout otherwise. */
    send_options &timeout(milliseconds limit) & {
        detail::check(fmq_send_options_set_timeout(handle_.get(), limit.count()));
        return *this;
    }
    /** To this queue; it has the topic of the message. */
    send_options &to(const queue &where) & {
        detail::check(fmq_send_options_set_queue(handle_.get(), detail::to_c(where).get()));
        return *this;
    }
    /** To the queue of all messages with this key, which the message carries from then on. */
    send_options &sharding_key(std::string_view key) & {
        detail::check(fmq_send_options_set_sharding_key(handle_.get(), detail::text(key)));
        return *this;
    }
    /** To the queue that Apache's Java client chooses for the key, too; the message does not carry it. */
    send_options &select_by_hash(std::string_view key) & {
        detail::check(fmq_send_options_select_by_hash(handle_.get(), detail::text(key)));
        return *this;
    }
    /** To any queue. */
    send_options &select_by_random() & {
        detail::check(fmq_send_options_select_by_random(handle_.get()));
        return *this;
    }
    /** To brokers in these machine rooms, separated by commas, in turn. */
    send_options &select_by_machine_room(std::string_view rooms) & {
        detail::check(fmq_send_options_select_by_machine_room(handle_.get(), detail::text(rooms)));
        return *this;
    }
    /**
     * To the queue whose place choose(const std::vector<queue> &, outgoing_view) returns. A place that is not in the list,
     * or an exception, fails the send.
     */
    template <class Choose> send_options &select(Choose choose) & {
        using own = std::decay_t<Choose>;
        const auto call = [](const fmq_queues *queues, const fmq_message *message, void *user_data) -> std::size_t {
            try {
                return static_cast<std::size_t>(
                    (*static_cast<own *>(user_data))(detail::from_c(queues), outgoing_view(message)));
            } catch (...) {
                return static_cast<std::size_t>(-1);
            }
        };
        detail::check(fmq_send_options_select_own(handle_.get(), call, new own(std::move(choose)),
                                                  detail::destroy<own>));
        return *this;
    }

    // The same of options that were just made.
    send_options &&timeout(milliseconds limit) && { return std::move(this->timeout(limit)); }
    send_options &&to(const queue &where) && { return std::move(this->to(where)); }
    send_options &&sharding_key(std::string_view key) && { return std::move(this->sharding_key(key)); }
    send_options &&select_by_hash(std::string_view key) && { return std::move(this->select_by_hash(key)); }
    send_options &&select_by_random() && { return std::move(this->select_by_random()); }
    send_options &&select_by_machine_room(std::string_view rooms) && {
        return std::move(this->select_by_machine_room(rooms));
    }
    template <class Choose> send_options &&select(Choose choose) && {
        return std::move(this->select(std::move(choose)));
    }

    const fmq_send_options *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_send_options, fmq_send_options_free> handle_;
};

namespace detail {

/** The result that a call of the C ABI gives. */
template <class Call> sent sent_of(Call &&call) {
    fmq_sent *made = nullptr;
    check(call(&made));
    const owner<fmq_sent, fmq_sent_free> owned(made);
    return sent(made);
}

template <class Call> stored_message message_of(Call &&call) {
    fmq_stored_message *found = nullptr;
    check(call(&found));
    return stored_message(found);
}

/** Messages that are sent together. */
template <class Messages> owner<fmq_batch, fmq_batch_free> batch_of(const Messages &messages) {
    fmq_batch *made = nullptr;
    check(fmq_batch_new(&made));
    owner<fmq_batch, fmq_batch_free> batch(made);
    for (const message &one : messages) {
        check(fmq_batch_add(made, one.get()));
    }
    return batch;
}

/** A callback of C that hands its result to a callable of C++, which was given as user_data. */
template <class Callable> void told_sent(const fmq_sent *one, const fmq_error *failed, void *user_data) noexcept {
    try {
        auto &call = *static_cast<Callable *>(user_data);
        one ? call(result<sent>(sent(one))) : call(result<sent>(error(failed)));
    } catch (...) {
        // Nobody is there to hear of it.
    }
}

template <class Callable>
void told_reply(const fmq_stored_message *reply, const fmq_error *failed, void *user_data) noexcept {
    try {
        auto &call = *static_cast<Callable *>(user_data);
        reply ? call(result<stored_message>(stored_message(message_view(reply))))
              : call(result<stored_message>(error(failed)));
    } catch (...) {
    }
}

/** Keeps a promise when it is called; one that is never called breaks it, as std::promise does. */
template <class Value> struct keeper {
    std::promise<Value> promise;
    void operator()(result<Value> told) {
        if (told) {
            promise.set_value(std::move(told.value()));
        } else {
            promise.set_exception(std::make_exception_ptr(told.error()));
        }
    }
};

} // namespace detail

/** Sends messages. Threads may share it. */
class producer {
public:
    explicit producer(fmq_producer *owned) noexcept : handle_(owned) {}

    /** Sends a message and waits until it is stored, at most sendMsgTimeout with all attempts. */
    sent send(const message &message) { return send(message, milliseconds(-1)); }
    /** As above, within this time. */
    sent send(const message &message, milliseconds timeout) {
        return detail::sent_of([&](fmq_sent **out) {
            return fmq_producer_send(handle_.get(), message.get(), timeout.count(), out);
        });
    }
    sent send(const message &message, const send_options &how) {
        return detail::sent_of([&](fmq_sent **out) {
            return fmq_producer_send_with(handle_.get(), message.get(), how.get(), out);
        });
    }

    /**
     * Sends a message and returns at once; the future gets the result. At most backPressureForAsyncSendNum sends are under
     * way; a further one waits here for room. When the producer is closed before, the future's promise is broken.
     */
    std::future<sent> send_async(const message &message) { return send_async(message, nullptr); }
    std::future<sent> send_async(const message &message, const send_options &how) {
        return send_async(message, how.get());
    }
    /** As send_async, but callback(result<sent>) gets the result, on a thread of the library. */
    template <class Callback> void send_callback(const message &message, Callback callback) {
        send_callback(message, nullptr, std::move(callback));
    }
    template <class Callback>
    void send_callback(const message &message, const send_options &how, Callback callback) {
        send_callback(message, how.get(), std::move(callback));
    }

    /** Sends a message without asking for an answer: for what may be lost. */
    void send_oneway(const message &message) {
        detail::check(fmq_producer_send_oneway(handle_.get(), message.get(), nullptr));
    }
    void send_oneway(const message &message, const send_options &how) {
        detail::check(fmq_producer_send_oneway(handle_.get(), message.get(), how.get()));
    }

    /** Sends messages of one topic together, into one queue side by side: all are stored or none. */
    template <class Messages> sent send_batch(const Messages &messages) {
        const auto batch = detail::batch_of(messages);
        return detail::sent_of([&](fmq_sent **out) {
            return fmq_producer_send_batch(handle_.get(), batch.get(), nullptr, out);
        });
    }
    template <class Messages> sent send_batch(const Messages &messages, const send_options &how) {
        const auto batch = detail::batch_of(messages);
        return detail::sent_of([&](fmq_sent **out) {
            return fmq_producer_send_batch(handle_.get(), batch.get(), how.get(), out);
        });
    }
    /** As send_batch, but returns at once. */
    template <class Messages> std::future<sent> send_batch_async(const Messages &messages) {
        const auto batch = detail::batch_of(messages);
        using own = detail::keeper<sent>;
        auto keeper = std::make_unique<own>();
        std::future<sent> future = keeper->promise.get_future();
        detail::check(fmq_producer_send_batch_callback(handle_.get(), batch.get(), nullptr,
                                                       detail::told_sent<own>, keeper.release(),
                                                       detail::destroy<own>));
        return future;
    }
    /** Sends a list of any length as batches of about 1 MiB, into one queue, in its order. Returns how many are stored. */
    template <class Messages> std::size_t send_split(const Messages &messages) {
        const auto batch = detail::batch_of(messages);
        std::size_t stored = 0;
        detail::check(fmq_producer_send_split(handle_.get(), batch.get(), &stored));
        return stored;
    }

    /** Sends a message and waits for the reply to it, which a consumer makes with reply(). */
    stored_message request(const message &message, milliseconds timeout) {
        return detail::message_of([&](fmq_stored_message **out) {
            return fmq_producer_request(handle_.get(), message.get(), timeout.count(), out);
        });
    }
    /** As request, but returns at once. */
    std::future<stored_message> request_async(const message &message, milliseconds timeout) {
        using own = detail::keeper<stored_message>;
        auto keeper = std::make_unique<own>();
        std::future<stored_message> future = keeper->promise.get_future();
        detail::check(fmq_producer_request_callback(handle_.get(), message.get(), timeout.count(),
                                                    detail::told_reply<own>, keeper.release(),
                                                    detail::destroy<own>));
        return future;
    }
    /** Sends the reply to a request that a consumer got. */
    sent reply(const message_view &request, std::string_view body) {
        return reply(request, bytes(reinterpret_cast<const std::byte *>(body.data()), body.size()));
    }
    sent reply(const message_view &request, bytes body) {
        return detail::sent_of([&](fmq_sent **out) {
            return fmq_producer_reply(handle_.get(), request.get(), body.data(), body.size(), out);
        });
    }

    /** The queues of a topic that can be sent to. */
    std::vector<queue> queues(std::string_view topic) {
        return detail::queues_of([&](fmq_queues **out) {
            return fmq_producer_queues(handle_.get(), detail::text(topic), out);
        });
    }
    std::string_view group() const noexcept { return detail::view(fmq_producer_group(handle_.get())); }
    /** Sends that nobody waits for and that are under way. */
    std::size_t sends_in_flight() const noexcept { return fmq_producer_sends_in_flight(handle_.get()); }
    /** Takes no further sends, waits for those under way (10 s unless said otherwise), and leaves the group. */
    void close(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_producer_close(handle_.get(), timeout.count()));
    }

    fmq_producer *get() const noexcept { return handle_.get(); }

private:
    std::future<sent> send_async(const message &message, const fmq_send_options *how) {
        detail::keeper<sent> keeper;
        std::future<sent> future = keeper.promise.get_future();
        send_callback(message, how, std::move(keeper));
        return future;
    }
    template <class Callback>
    void send_callback(const message &message, const fmq_send_options *how, Callback callback) {
        using own = std::decay_t<Callback>;
        auto kept = std::make_unique<own>(std::move(callback));
        detail::check(fmq_producer_send_callback(handle_.get(), message.get(), how, detail::told_sent<own>,
                                                 kept.release(), detail::destroy<own>));
    }

    detail::owner<fmq_producer, fmq_producer_free> handle_;
};

/** How a local transaction ended. */
enum class transaction_state : std::int32_t {
    commit = FMQ_COMMIT,
    rollback = FMQ_ROLLBACK,
    unknown = FMQ_UNKNOWN,
};

/** What became of a send in a transaction. */
struct transaction_sent {
    ferromq::sent sent;
    transaction_state state;
};

/** Sends messages in transactions. Threads may share it. */
class transaction_producer {
public:
    explicit transaction_producer(fmq_transaction_producer *owned) noexcept : handle_(owned) {}

    /**
     * Sends the half of a message, runs the local transaction if the broker has it, and tells the broker how that ended.
     */
    transaction_sent send(const message &message) {
        std::int32_t state = FMQ_UNKNOWN;
        ferromq::sent sent = detail::sent_of([&](fmq_sent **out) {
            return fmq_transaction_producer_send(handle_.get(), message.get(), out, &state);
        });
        return {std::move(sent), static_cast<transaction_state>(state)};
    }
    /**
     * As above, with execute(outgoing_view, std::string_view transaction_id) as the local transaction. An exception of it
     * leaves the message undecided (the broker asks) and is thrown here.
     */
    template <class Execute> transaction_sent send(const message &message, Execute execute) {
        struct call {
            Execute *execute;
            std::exception_ptr thrown;
        } own{&execute, nullptr};
        std::int32_t state = FMQ_UNKNOWN;
        const auto run = [](const fmq_message *one, const char *id, void *user_data) -> std::int32_t {
            auto &called = *static_cast<call *>(user_data);
            try {
                return static_cast<std::int32_t>((*called.execute)(outgoing_view(one), std::string_view(id)));
            } catch (...) {
                called.thrown = std::current_exception();
                return FMQ_UNKNOWN;
            }
        };
        ferromq::sent sent = detail::sent_of([&](fmq_sent **out) {
            return fmq_transaction_producer_send_with_executor(handle_.get(), message.get(), run, &own, out, &state);
        });
        if (own.thrown) {
            std::rethrow_exception(own.thrown);
        }
        return {std::move(sent), static_cast<transaction_state>(state)};
    }
    void close(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_transaction_producer_close(handle_.get(), timeout.count()));
    }

    fmq_transaction_producer *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_transaction_producer, fmq_transaction_producer_free> handle_;
};

/** How a listener ended; one that returns nothing says success, one that throws says later. */
enum class consume_status : std::int32_t {
    success = FMQ_SUCCESS,
    later = FMQ_LATER,
};

/** What a listener knows and may wish beyond its messages. */
class consume_context {
public:
    explicit consume_context(const fmq_consume_context *context) noexcept : context_(context) {}

    /** The queue that all messages of the call come from. */
    ferromq::queue queue() const { return ferromq::queue(fmq_consume_context_queue(context_)); }
    /** Only the messages up to the one with this index are consumed; those behind it come again later. */
    void ack_index(std::size_t index) const { detail::check(fmq_consume_context_set_ack_index(context_, index)); }
    /** When messages come again: after this delay level; 0 as the broker chooses; below 0 never (dead letters). */
    void delay_level(std::int32_t level) const {
        detail::check(fmq_consume_context_set_delay_level(context_, level));
    }

private:
    const fmq_consume_context *context_;
};

/** What an ordered listener knows and may wish beyond its messages. */
class orderly_context {
public:
    explicit orderly_context(const fmq_orderly_context *context) noexcept : context_(context) {}

    /** The queue that all messages of the call come from. */
    ferromq::queue queue() const { return ferromq::queue(fmq_orderly_context_queue(context_)); }
    /** How long the queue pauses if the listener says later. */
    void suspend_time(milliseconds time) const {
        detail::check(fmq_orderly_context_set_suspend_time(
            context_, detail::unsigned_time("set suspend time", time)));
    }

private:
    const fmq_orderly_context *context_;
};

namespace detail {

/** Calls a listener with the context if it takes one, and gives its answer to C. */
template <class Listener, class What, class Context>
std::int32_t listened(Listener &listener, const What &what, const Context &context) noexcept {
    try {
        if constexpr (std::is_invocable_v<Listener &, const What &, const Context &>) {
            if constexpr (std::is_void_v<std::invoke_result_t<Listener &, const What &, const Context &>>) {
                listener(what, context);
            } else {
                return static_cast<std::int32_t>(listener(what, context));
            }
        } else if constexpr (std::is_void_v<std::invoke_result_t<Listener &, const What &>>) {
            listener(what);
        } else {
            return static_cast<std::int32_t>(listener(what));
        }
        return FMQ_SUCCESS;
    } catch (...) {
        return FMQ_LATER;
    }
}

/** A callback of C that asks a callable of C++, which was given as user_data, for its share of the queues. */
template <class Callable>
void shared(const char *group, const char *client_id, const fmq_queues *queues, const char *const *members,
            std::size_t count, fmq_queues *own, void *user_data) noexcept {
    try {
        const std::vector<std::string_view> all(members, members + count);
        for (const queue &one :
             (*static_cast<Callable *>(user_data))(view(group), view(client_id), from_c(queues), all)) {
            check(fmq_queues_add(own, to_c(one).get()));
        }
    } catch (...) {
        // What was not added is not this member's.
    }
}

} // namespace detail

/** Calls a listener with what arrives. Threads may share it. */
class push_consumer {
public:
    explicit push_consumer(fmq_push_consumer *owned) noexcept : handle_(owned) {}

    /** Consumes a topic: * for all of it, or TagA || TagB. All members of a group must subscribe to the same. */
    void subscribe(std::string_view topic, std::string_view expression = "*") {
        detail::check(fmq_push_consumer_subscribe(get(), detail::text(topic), detail::text(expression)));
    }
    /** As subscribe, with an SQL92 expression over the properties (docs/filters.md). */
    void subscribe_sql(std::string_view topic, std::string_view expression) {
        detail::check(fmq_push_consumer_subscribe_sql(get(), detail::text(topic), detail::text(expression)));
    }
    void unsubscribe(std::string_view topic) {
        detail::check(fmq_push_consumer_unsubscribe(get(), detail::text(topic)));
    }

    /**
     * Sets the listener: listener(const message_list &, const consume_context &) or listener(const message_list &), which
     * returns a consume_status or nothing. It is called by consumeThreadMin threads at a time.
     */
    template <class Listener> void listen(Listener listener) {
        using own = std::decay_t<Listener>;
        const auto call = [](const fmq_messages *list, const fmq_consume_context *context, void *user_data) {
            return detail::listened(*static_cast<own *>(user_data), message_list(list), consume_context(context));
        };
        detail::check(fmq_push_consumer_listen(get(), call, new own(std::move(listener)), detail::destroy<own>));
    }
    /** As listen, for single messages: listener(const message_view &, const consume_context &) or without context. */
    template <class Listener> void listen_one(Listener listener) {
        using own = std::decay_t<Listener>;
        const auto call = [](const fmq_stored_message *one, const fmq_consume_context *context, void *user_data) {
            return detail::listened(*static_cast<own *>(user_data), message_view(one), consume_context(context));
        };
        detail::check(fmq_push_consumer_listen_one(get(), call, new own(std::move(listener)), detail::destroy<own>));
    }
    /** Sets an ordered listener: one call at a time for each queue, in its order; with an orderly_context. */
    template <class Listener> void listen_orderly(Listener listener) {
        using own = std::decay_t<Listener>;
        const auto call = [](const fmq_messages *list, const fmq_orderly_context *context, void *user_data) {
            return detail::listened(*static_cast<own *>(user_data), message_list(list), orderly_context(context));
        };
        detail::check(
            fmq_push_consumer_listen_orderly(get(), call, new own(std::move(listener)), detail::destroy<own>));
    }

    /** Joins the group and begins to consume. */
    void start() { detail::check(fmq_push_consumer_start(get())); }
    /** Calls the listener no more until resume; calls that run go on. */
    void suspend() { detail::check(fmq_push_consumer_suspend(get())); }
    void resume() { detail::check(fmq_push_consumer_resume(get())); }
    bool is_suspended() const noexcept { return fmq_push_consumer_is_suspended(get()); }
    /** How many calls of the listener may run at a time from now on, up to consumeThreadMax. */
    void update_threads(std::size_t count) { detail::check(fmq_push_consumer_update_threads(get(), count)); }
    /** The queues that are this consumer's at present. */
    std::vector<queue> queues() const {
        return detail::queues_of([&](fmq_queues **out) { return fmq_push_consumer_queues(get(), out); });
    }
    /**
     * Has allocate(std::string_view group, std::string_view client_id, const std::vector<queue> &,
     * const std::vector<std::string_view> &members) say which queues of a topic are this member's, in place of
     * allocateMessageQueueStrategy; it returns a range of queue. All members need the same. An exception: none, or those
     * before it.
     */
    template <class Allocate> void allocate_by(Allocate allocate) {
        using own = std::decay_t<Allocate>;
        detail::check(fmq_push_consumer_allocate_by(get(), detail::shared<own>, new own(std::move(allocate)),
                                          detail::destroy<own>));
    }
    std::string_view group() const noexcept { return detail::view(fmq_push_consumer_group(get())); }
    /** Ends it: no further call of the listener begins, those that run are waited for, progress is stored. */
    void close(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_push_consumer_close(get(), timeout.count()));
    }

    fmq_push_consumer *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_push_consumer, fmq_push_consumer_free> handle_;
};

/** How a single pull ended. */
enum class pull_status : std::int32_t {
    found = FMQ_PULL_FOUND,
    no_new_messages = FMQ_PULL_NO_NEW_MESSAGES,
    no_matched = FMQ_PULL_NO_MATCHED,
    offset_illegal = FMQ_PULL_OFFSET_ILLEGAL,
};

/** What a single pull brought. */
class pulled {
public:
    explicit pulled(fmq_pulled *owned) noexcept : handle_(owned) {}

    pull_status status() const noexcept { return static_cast<pull_status>(fmq_pulled_status(handle_.get())); }
    /** The messages, which are valid as long as this. */
    message_list messages() const noexcept { return message_list(fmq_pulled_messages(handle_.get())); }
    /** Where to go on. */
    std::int64_t next() const noexcept { return fmq_pulled_next(handle_.get()); }
    /** The first offset that the queue still has. */
    std::int64_t min() const noexcept { return fmq_pulled_min(handle_.get()); }
    /** The offset that the next message gets. */
    std::int64_t max() const noexcept { return fmq_pulled_max(handle_.get()); }

private:
    detail::owner<fmq_pulled, fmq_pulled_free> handle_;
};

/**
 * Is asked for messages, at the program's own pace. Threads may share it; a commit then covers what all of them polled.
 *
 * It is a range of message_view that ends when the consumer is closed: for (auto message : consumer) { ... }. Messages are
 * valid until the next one is asked for; with autoCommit, the default, they count as consumed when the next ones are
 * polled.
 */
class consumer {
public:
    /** Goes through what is polled. */
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = message_view;
        using difference_type = std::ptrdiff_t;
        using pointer = const message_view *;
        using reference = message_view;

        iterator() noexcept = default;
        iterator(fmq_consumer *from, milliseconds patience) : from_(from), patience_(patience) { fetch(); }

        message_view operator*() const noexcept { return (*batch_)[index_]; }
        iterator &operator++() {
            // After an error there is none: the next step polls anew.
            if (++index_ >= batch_->size()) {
                fetch();
            }
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &one, const iterator &other) noexcept {
            return one.from_ == other.from_;
        }
        friend bool operator!=(const iterator &one, const iterator &other) noexcept { return !(one == other); }

    private:
        void fetch() {
            auto batch = std::make_shared<messages>();
            fmq_messages *list = nullptr;
            fmq_error *failed = fmq_consumer_poll(from_, patience_.count(), &list);
            *batch = messages(list);
            batch_ = std::move(batch);
            index_ = 0;
            if (fmq_error_code(failed) == FMQ_CLOSED) {
                fmq_error_free(failed);
                from_ = nullptr;
                return;
            }
            detail::check(failed);
            if (batch_->empty()) {
                from_ = nullptr;
            }
        }

        fmq_consumer *from_ = nullptr;
        milliseconds patience_{-1};
        std::shared_ptr<messages> batch_;
        std::size_t index_ = 0;
    };

    /** The messages that come until none came for a while. */
    class range {
    public:
        range(fmq_consumer *from, milliseconds patience) noexcept : from_(from), patience_(patience) {}
        iterator begin() const { return iterator(from_, patience_); }
        iterator end() const noexcept { return iterator(); }

    private:
        fmq_consumer *from_;
        milliseconds patience_;
    };

    explicit consumer(fmq_consumer *owned) noexcept : handle_(owned) {}

    /** Consumes a topic: * for all of it, or TagA || TagB. All members of a group must subscribe to the same. */
    void subscribe(std::string_view topic, std::string_view expression = "*") {
        detail::check(fmq_consumer_subscribe(get(), detail::text(topic), detail::text(expression)));
    }
    /** As subscribe, with an SQL92 expression over the properties (docs/filters.md). */
    void subscribe_sql(std::string_view topic, std::string_view expression) {
        detail::check(fmq_consumer_subscribe_sql(get(), detail::text(topic), detail::text(expression)));
    }
    void unsubscribe(std::string_view topic) {
        detail::check(fmq_consumer_unsubscribe(get(), detail::text(topic)));
    }
    /** Consumes exactly these queues, whoever else has them. */
    void assign(const std::vector<queue> &queues) {
        detail::check(fmq_consumer_assign(get(), detail::to_c(queues).get()));
    }
    /** Joins the group and begins to fetch, as the first poll would. */
    void start() { detail::check(fmq_consumer_start(get())); }

    /** The next messages, all of one queue, in their order, at most pollBatch; waits until some come or it is closed. */
    messages poll() { return poll(milliseconds(-1)); }
    /** As above; none if none came within this time. */
    messages poll(milliseconds timeout) {
        fmq_messages *list = nullptr;
        detail::check(fmq_consumer_poll(get(), timeout.count(), &list));
        return messages(list);
    }
    /** As poll, with at most so many messages. */
    messages poll_at_most(std::size_t most, milliseconds timeout) {
        fmq_messages *list = nullptr;
        detail::check(fmq_consumer_poll_at_most(get(), most, timeout.count(), &list));
        return messages(list);
    }
    /**
     * A file descriptor for poll(), epoll and event loops: it can be read while there may be something to poll. When it
     * can, poll(milliseconds(0)) until nothing comes. Do not read or close it.
     */
    int fd() {
        std::int32_t descriptor = -1;
        detail::check(fmq_consumer_fd(get(), &descriptor));
        return descriptor;
    }
    /**
     * Has callback() called on a thread of the library when a poll would not wait any more: once until polls have emptied
     * what there is, and when the consumer is closed. For event loops that can be woken.
     */
    template <class Callback> void on_ready(Callback callback) {
        using own = std::decay_t<Callback>;
        const auto call = [](void *user_data) {
            try {
                (*static_cast<own *>(user_data))();
            } catch (...) {
                // There is nobody to tell.
            }
        };
        detail::check(fmq_consumer_on_ready(get(), call, new own(std::move(callback)), detail::destroy<own>));
    }
    /** All messages until the consumer is closed. */
    iterator begin() { return iterator(get(), milliseconds(-1)); }
    iterator end() noexcept { return iterator(); }
    /** All messages until none came for this time. */
    range until_idle(milliseconds patience) noexcept { return range(get(), patience); }

    /**
     * Asks a broker once for up to most messages of a queue from offset on, of those whose tag the expression names. If
     * there is nothing, the broker waits for a message. Neither subscribes nor commits.
     */
    pulled pull(const queue &where, std::string_view expression, std::int64_t offset, std::uint32_t most,
                milliseconds timeout) {
        fmq_pulled *brought = nullptr;
        detail::check(fmq_consumer_pull(get(), detail::to_c(where).get(), detail::text(expression), offset, most,
                                        timeout.count(), &brought));
        return pulled(brought);
    }

    /** All messages that were polled so far are consumed; brokers are told within seconds. */
    void commit() { detail::check(fmq_consumer_commit(get())); }
    /** What is before the offset in a queue is consumed. */
    void commit(const queue &where, std::int64_t offset) {
        detail::check(fmq_consumer_commit_queue(get(), detail::to_c(where).get(), offset));
    }
    /** Stores what was committed, and waits until it is. */
    void flush() { detail::check(fmq_consumer_flush(get())); }
    /** How far the group has come in a queue, as it is stored. */
    std::optional<std::int64_t> committed(const queue &where) {
        std::int64_t offset = -1;
        detail::check(fmq_consumer_committed(get(), detail::to_c(where).get(), &offset));
        return offset < 0 ? std::nullopt : std::optional<std::int64_t>(offset);
    }
    /** Goes on with a queue elsewhere; what was fetched is forgotten. */
    void seek(const queue &where, std::int64_t offset) {
        detail::check(fmq_consumer_seek(get(), detail::to_c(where).get(), offset));
    }
    void seek_to_begin(const queue &where) {
        detail::check(fmq_consumer_seek_to_begin(get(), detail::to_c(where).get()));
    }
    void seek_to_end(const queue &where) {
        detail::check(fmq_consumer_seek_to_end(get(), detail::to_c(where).get()));
    }
    /** Goes on with the first message stored at a time, ms since 1970, or later. */
    void seek_to_time(const queue &where, std::int64_t time_ms) {
        detail::check(fmq_consumer_seek_to_time(get(), detail::to_c(where).get(), time_ms));
    }
    /** The offset of the first message of a queue stored at a time, ms since 1970, or later; the end if there is none. */
    std::int64_t offset_for_time(const queue &where, std::int64_t time_ms) {
        std::int64_t offset = -1;
        detail::check(fmq_consumer_offset_for_time(get(), detail::to_c(where).get(), time_ms, &offset));
        return offset;
    }
    /** Fetches and hands out nothing of these queues until resume. */
    void pause(const std::vector<queue> &queues) {
        detail::check(fmq_consumer_pause(get(), detail::to_c(queues).get()));
    }
    void resume(const std::vector<queue> &queues) {
        detail::check(fmq_consumer_resume(get(), detail::to_c(queues).get()));
    }
    /** Whether everything has been polled that the queues held when they were last heard of. */
    bool is_caught_up() const noexcept { return fmq_consumer_is_caught_up(get()); }
    /** The queues that are this consumer's at present. */
    std::vector<queue> queues() const {
        return detail::queues_of([&](fmq_queues **out) { return fmq_consumer_queues(get(), out); });
    }
    /**
     * Has allocate(std::string_view group, std::string_view client_id, const std::vector<queue> &,
     * const std::vector<std::string_view> &members) say which queues of a topic are this member's, in place of
     * allocateMessageQueueStrategy; it returns a range of queue. All members need the same. An exception: none, or those
     * before it.
     */
    template <class Allocate> void allocate_by(Allocate allocate) {
        using own = std::decay_t<Allocate>;
        detail::check(fmq_consumer_allocate_by(get(), detail::shared<own>, new own(std::move(allocate)),
                                          detail::destroy<own>));
    }
    /** All queues of a topic, to be chosen from for assign. */
    std::vector<queue> topic_queues(std::string_view topic) const {
        return detail::queues_of([&](fmq_queues **out) {
            return fmq_consumer_topic_queues(get(), detail::text(topic), out);
        });
    }
    std::optional<std::string_view> group() const noexcept { return detail::maybe(fmq_consumer_group(get())); }
    /** Stores what was committed (with autoCommit all that was polled) and leaves the group. */
    void close(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_consumer_close(get(), timeout.count()));
    }

    fmq_consumer *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_consumer, fmq_consumer_free> handle_;
};

/**
 * Operators' calls, by an instance that lives as long. Answers are JSON, with the members that ferromq.h names.
 */
class admin {
public:
    explicit admin(fmq_instance *by) noexcept : by_(by) {}

    /** The topics of users, as an array of names. */
    std::string topics() const { return json(fmq_admin_topics); }
    /** All topics, those of the system too. */
    std::string all_topics() const { return json(fmq_admin_all_topics); }
    /** A topic with its settings and how much is in it. */
    std::string topic(std::string_view name) const { return json(fmq_admin_topic, detail::text(name)); }
    /** Makes a topic, or changes one that is there: readQueueNums, writeQueueNums, perm, order. */
    void create_topic(std::string_view name, const options &settings) const {
        detail::check(fmq_admin_create_topic(by_, detail::text(name), settings.get()));
    }
    /** Deletes a topic with its messages. */
    void delete_topic(std::string_view name) const { detail::check(fmq_admin_delete_topic(by_, detail::text(name))); }
    /** The consumer groups, as an array of names. */
    std::string groups() const { return json(fmq_admin_groups); }
    /** How far a group has come. */
    std::string progress(std::string_view group) const { return json(fmq_admin_progress, detail::text(group)); }
    /** Who consumes as a group. */
    std::string members(std::string_view group) const { return json(fmq_admin_members, detail::text(group)); }
    /** Moves a group in a topic, whether its members run or not, to a time, ms since 1970, FMQ_BEGIN or FMQ_END. */
    std::string reset_offsets(std::string_view group, std::string_view topic, std::int64_t time_ms) const {
        return json(fmq_admin_reset_offsets, detail::text(group), detail::text(topic), time_ms);
    }
    /** Deletes a group with its progress. */
    void delete_group(std::string_view group) const { detail::check(fmq_admin_delete_group(by_, detail::text(group))); }
    /** How the cluster is: name servers, brokers, their addresses, versions and figures. */
    std::string cluster() const { return json(fmq_admin_cluster); }

private:
    template <class Call, class... Arguments> std::string json(Call call, const Arguments &...arguments) const {
        char *answer = nullptr;
        detail::check(call(by_, arguments..., &answer));
        const detail::owner<char, fmq_string_free> owned(answer);
        return std::string(answer);
    }

    fmq_instance *by_;
};

/** A server that other processes use: a name server and a broker, or one of them. It stops when it ends. */
class server {
public:
    explicit server(fmq_server *owned) noexcept : handle_(owned) {}

    /** The ports of name server and broker, 0 for what is not there. */
    std::pair<std::uint16_t, std::uint16_t> ports() const {
        std::uint16_t name_server = 0, broker = 0;
        detail::check(fmq_server_ports(handle_.get(), &name_server, &broker));
        return {name_server, broker};
    }
    /** Where clients of this machine find the name server, for connect. */
    std::string_view name_servers() const noexcept { return detail::view(fmq_server_name_servers(handle_.get())); }
    /** Orderly end, within 30 s unless said otherwise. */
    void stop(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_server_stop(handle_.get(), timeout.count()));
    }

    fmq_server *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_server, fmq_server_free> handle_;
};

/**
 * Fills one queue of this very process, one that open() opened, as fast as can be: a fraction of the work of a send, with
 * the same promises (docs/embed.md). One thread uses it at a time; each makes its own.
 */
class appender {
public:
    explicit appender(fmq_appender *owned) noexcept : handle_(owned) {}

    /** Stores a message that is nothing but its body. Returns its number in the queue. */
    std::int64_t append(std::string_view body) { return append(body.data(), body.size()); }
    std::int64_t append(bytes body) { return append(body.data(), body.size()); }
    /** Stores a message with its tag, keys, properties and flag; its topic is the appender's. */
    std::int64_t append(const message &message) {
        std::int64_t offset = -1;
        detail::check(fmq_appender_append_message(get(), message.get(), &offset));
        return offset;
    }
    /**
     * Stores messages that are nothing but their bodies, of a range of std::string, std::string_view or bytes that are
     * there already, one behind the other: all or none. Together they may have maxMessageSize bytes. Returns the number of
     * the first.
     */
    template <class Bodies> std::int64_t append_batch(const Bodies &bodies) {
        using element = decltype(*std::begin(bodies));
        using value = std::decay_t<element>;
        constexpr bool is_view = std::is_same_v<value, std::string_view> || std::is_same_v<value, bytes>;
        static_assert(std::is_reference_v<element> || is_view,
                      "the range makes its bodies one by one: they would be gone before they are stored");
        starts_.clear();
        lengths_.clear();
        for (const auto &body : bodies) {
            static_assert(sizeof(*body.data()) == 1, "bodies are bytes or chars");
            starts_.push_back(body.data());
            lengths_.push_back(body.size());
        }
        std::int64_t offset = -1;
        detail::check(
            fmq_appender_append_batch(get(), starts_.data(), lengths_.data(), starts_.size(), &offset));
        return offset;
    }

    fmq_appender *get() const noexcept { return handle_.get(); }

private:
    std::int64_t append(const void *body, std::size_t length) {
        std::int64_t offset = -1;
        detail::check(fmq_appender_append(get(), body, length, &offset));
        return offset;
    }

    detail::owner<fmq_appender, fmq_appender_free> handle_;
    std::vector<const void *> starts_;
    std::vector<std::size_t> lengths_;
};

/**
 * Reads one queue of this very process, message by message, without a group: where it is, is its own affair. It does not
 * wait. Messages that are gone, because their time was over, or damaged are passed over. One thread uses it at a time.
 */
class reader {
public:
    /** A message's body, valid until the next one is read, and its number in the queue. */
    struct entry {
        std::int64_t offset;
        bytes body;
        std::string_view text() const noexcept {
            return {reinterpret_cast<const char *>(body.data()), body.size()};
        }
    };

    explicit reader(fmq_reader *owned) noexcept : handle_(owned) {}

    /** The next message; none if there is none for now. */
    std::optional<entry> read() {
        std::int64_t offset = -1;
        std::size_t length = 0;
        fmq_error *failed = fmq_reader_read(get(), buffer_.data(), buffer_.size(), &length, &offset);
        while (failed && length > buffer_.size()) {
            fmq_error_free(failed);
            buffer_.resize(length);
            failed = fmq_reader_read(get(), buffer_.data(), buffer_.size(), &length, &offset);
        }
        detail::check(failed);
        if (offset < 0) {
            return std::nullopt;
        }
        return entry{offset, bytes(buffer_.data(), length)};
    }
    /** Goes on from an offset: the first message there or behind it comes next, once there is one. */
    void seek(std::int64_t offset) { detail::check(fmq_reader_seek(get(), offset)); }
    /** The offset from which on the next message is looked for. */
    std::int64_t offset() const noexcept { return fmq_reader_offset(get()); }

    fmq_reader *get() const noexcept { return handle_.get(); }

private:
    detail::owner<fmq_reader, fmq_reader_free> handle_;
    std::vector<std::byte> buffer_;
};

/**
 * A client of a cluster, or a server of its own in this process with its client. Make one a process and keep it. Threads
 * may share it. It closes itself, and all that was made from it, when it ends.
 */
class instance {
public:
    explicit instance(fmq_instance *owned) noexcept : handle_(owned) {}

    /** A producer of a group. */
    ferromq::producer producer(std::string_view group) { return producer(group, options()); }
    ferromq::producer producer(std::string_view group, const options &settings) {
        fmq_producer *made = nullptr;
        detail::check(fmq_producer_new(get(), group_of(group).get(), settings.get(), &made));
        return ferromq::producer(made);
    }
    /**
     * A producer of messages in transactions: execute(outgoing_view, std::string_view transaction_id) runs the local
     * transaction, on the sending thread; check(message_view) answers what became of one, on a thread of the library. Both
     * return a transaction_state; an exception is "unknown".
     */
    template <class Execute, class Check>
    ferromq::transaction_producer transaction_producer(std::string_view group, Execute execute, Check check,
                                                       const options &settings = options()) {
        using own = std::pair<std::decay_t<Execute>, std::decay_t<Check>>;
        const auto run = [](const fmq_message *one, const char *id, void *user_data) -> std::int32_t {
            try {
                return static_cast<std::int32_t>(
                    static_cast<own *>(user_data)->first(outgoing_view(one), std::string_view(id)));
            } catch (...) {
                return FMQ_UNKNOWN;
            }
        };
        const auto ask = [](const fmq_stored_message *one, void *user_data) -> std::int32_t {
            try {
                return static_cast<std::int32_t>(static_cast<own *>(user_data)->second(message_view(one)));
            } catch (...) {
                return FMQ_UNKNOWN;
            }
        };
        fmq_transaction_producer *made = nullptr;
        const auto name = group_of(group);
        detail::check(fmq_transaction_producer_new(get(), name.get(), settings.get(), run, ask,
                                                   new own(std::move(execute), std::move(check)),
                                                   detail::destroy<own>, &made));
        return ferromq::transaction_producer(made);
    }
    /** A consumer of a group that calls a listener. */
    ferromq::push_consumer push_consumer(std::string_view group) { return push_consumer(group, options()); }
    ferromq::push_consumer push_consumer(std::string_view group, const options &settings) {
        fmq_push_consumer *made = nullptr;
        detail::check(fmq_push_consumer_new(get(), group_of(group).get(), settings.get(), &made));
        return ferromq::push_consumer(made);
    }
    /** A consumer of a group that is asked; with an empty group it reads all queues for itself. */
    ferromq::consumer consumer(std::string_view group) { return consumer(group, options()); }
    ferromq::consumer consumer(std::string_view group, const options &settings) {
        fmq_consumer *made = nullptr;
        detail::check(fmq_consumer_new(get(), group_of(group).get(), settings.get(), &made));
        return ferromq::consumer(made);
    }

    /** Fills a queue, counted from 0, of a topic that is there; of an instance that open() opened. */
    ferromq::appender appender(std::string_view topic, std::int32_t queue_id) {
        fmq_appender *made = nullptr;
        detail::check(fmq_appender_new(get(), detail::text(topic), queue_id, &made));
        return ferromq::appender(made);
    }
    /** Reads a queue, counted from 0, of a topic that is there, from an offset on; of an instance that open() opened. */
    ferromq::reader reader(std::string_view topic, std::int32_t queue_id, std::int64_t offset = 0) {
        fmq_reader *made = nullptr;
        detail::check(fmq_reader_new(get(), detail::text(topic), queue_id, offset, &made));
        return ferromq::reader(made);
    }

    /** Makes a topic with this many queues on every master, or changes the number of one that is there. */
    void create_topic(std::string_view topic, std::int32_t queues) {
        detail::check(fmq_instance_create_topic(get(), detail::text(topic), queues));
    }
    std::vector<queue> queues(std::string_view topic) {
        return detail::queues_of([&](fmq_queues **out) {
            return fmq_instance_queues(get(), detail::text(topic), out);
        });
    }
    /** The message at a place, by sent::offset_id or message_view::offset_id. */
    stored_message message_by_id(std::string_view offset_id) {
        return detail::message_of([&](fmq_stored_message **out) {
            return fmq_instance_message_by_id(get(), detail::text(offset_id), out);
        });
    }
    /** The message with this unique id: sent::message_id, or error::message_id of a send whose end is not known. */
    stored_message message_by_unique_key(std::string_view topic, std::string_view message_id) {
        return detail::message_of([&](fmq_stored_message **out) {
            return fmq_instance_message_by_unique_key(get(), detail::text(topic), detail::text(message_id), out);
        });
    }
    /** Messages that have this key and were stored between the times, ms since 1970: the oldest first. */
    messages messages_by_key(std::string_view topic, std::string_view key, std::size_t most, std::int64_t begin_ms,
                             std::int64_t end_ms) {
        fmq_messages *list = nullptr;
        detail::check(fmq_instance_messages_by_key(get(), detail::text(topic), detail::text(key), most, begin_ms,
                                                   end_ms, &list));
        return messages(list);
    }
    /** The offset of the first message that a queue still has. */
    std::int64_t min_offset(const queue &where) { return offset_of(fmq_instance_min_offset, where); }
    /** The offset that the next message of a queue gets. */
    std::int64_t max_offset(const queue &where) { return offset_of(fmq_instance_max_offset, where); }
    /** The offset of the first message of a queue that was stored at this time, ms since 1970, or later. */
    std::int64_t search_offset(const queue &where, std::int64_t time_ms) {
        std::int64_t offset = -1;
        detail::check(fmq_instance_search_offset(get(), detail::to_c(where).get(), time_ms, &offset));
        return offset;
    }
    /** When the oldest message of a queue was stored, ms since 1970. */
    std::optional<std::int64_t> earliest_store_time(const queue &where) {
        const std::int64_t time = offset_of(fmq_instance_earliest_store_time, where);
        return time < 0 ? std::nullopt : std::optional<std::int64_t>(time);
    }
    /** Gives the masters of a topic a filter function of a group (docs/filters.md); no bytes take it away. */
    void set_filter_function(std::string_view topic, std::string_view group, std::string_view name, bytes module) {
        detail::check(fmq_instance_set_filter_function(get(), detail::text(topic), detail::text(group),
                                                       detail::text(name), module.data(), module.size()));
    }

    /** Operators' calls: topics, groups, the state of the cluster. */
    ferromq::admin admin() const noexcept { return ferromq::admin(get()); }

    /** What brokers know this client by. */
    std::string_view client_id() const noexcept { return detail::view(fmq_instance_client_id(get())); }
    /** The name servers, as host:port;host:port. */
    std::string_view name_servers() const noexcept { return detail::view(fmq_instance_name_servers(get())); }
    /** The ports of name server and broker, if this instance listens. */
    std::optional<std::pair<std::uint16_t, std::uint16_t>> listening() const noexcept {
        std::uint16_t name_server = 0, broker = 0;
        if (!fmq_instance_listening(get(), &name_server, &broker)) {
            return std::nullopt;
        }
        return std::pair(name_server, broker);
    }
    /** Ends everything in order, within 30 s unless said otherwise; the store is brought to disk. */
    void close(milliseconds timeout = milliseconds(-1)) {
        detail::check(fmq_instance_close(get(), timeout.count()));
    }

    fmq_instance *get() const noexcept { return handle_.get(); }

private:
    /** A group as C takes it: none if it is empty. */
    static std::unique_ptr<const char[]> group_of(std::string_view group) {
        if (group.empty()) {
            return nullptr;
        }
        const detail::text checked(group);
        auto copy = std::make_unique<char[]>(group.size() + 1);
        group.copy(copy.get(), group.size());
        return copy;
    }
    template <class Call> std::int64_t offset_of(Call call, const queue &where) {
        std::int64_t offset = -1;
        detail::check(call(get(), detail::to_c(where).get(), &offset));
        return offset;
    }

    detail::owner<fmq_instance, fmq_instance_free> handle_;
};

/**
 * Opens a durable message queue in a directory: name server, broker and client in this process. No socket is opened
 * unless the options say listen. docs/embed.md says more.
 */
inline instance open(std::string_view path, const options &settings) {
    fmq_instance *made = nullptr;
    detail::check(fmq_open(detail::text(path), settings.get(), &made));
    return instance(made);
}
inline instance open(std::string_view path) { return open(path, options()); }

/** As open, in memory: until it is closed. */
inline instance open_memory(const options &settings) {
    fmq_instance *made = nullptr;
    detail::check(fmq_open(nullptr, settings.get(), &made));
    return instance(made);
}
inline instance open_memory() { return open_memory(options()); }

/**
 * Makes a client of a cluster, FerroMQ's or Apache's, by its name servers: host:port, several separated by semicolons.
 * With "" those of the environment variable NAMESRV_ADDR. Connects when first needed.
 */
inline instance connect(std::string_view name_servers, const options &settings) {
    fmq_instance *made = nullptr;
    detail::check(fmq_connect(detail::text(name_servers), settings.get(), &made));
    return instance(made);
}
inline instance connect(std::string_view name_servers) { return connect(name_servers, options()); }

/**
 * Starts a name server and a broker in one, with the messages in a directory (empty: in memory). They listen as the option
 * listen says: true (Apache's ports, the default), free, or host:port of the name server:port of the broker.
 */
inline server start_server(std::string_view path, const options &settings = options()) {
    fmq_server *made = nullptr;
    const detail::text directory(path);
    detail::check(fmq_server_start(path.empty() ? nullptr : static_cast<const char *>(directory), settings.get(), &made));
    return server(made);
}

/** Starts a name server alone, as its options say (docs/settings.md). */
inline server start_namesrv(const options &settings = options()) {
    fmq_server *made = nullptr;
    detail::check(fmq_server_start_namesrv(settings.get(), &made));
    return server(made);
}

/** Starts a broker alone, as its options say (docs/settings.md). */
inline server start_broker(const options &settings = options()) {
    fmq_server *made = nullptr;
    detail::check(fmq_server_start_broker(settings.get(), &made));
    return server(made);
}

} // namespace ferromq

#endif
