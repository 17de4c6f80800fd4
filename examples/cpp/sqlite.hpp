// What the two programs with a database need of SQLite: link with -lsqlite3.
#ifndef SQLITE_HPP
#define SQLITE_HPP

#include <memory>
#include <stdexcept>
#include <string>

#include <sqlite3.h>

// A database. Of several threads that use it one at a time may have a transaction.
class database {
public:
    explicit database(const std::string &path) {
        sqlite3 *opened = nullptr;
        const int code = sqlite3_open(path.c_str(), &opened);
        connection_.reset(opened);
        must(code == SQLITE_OK);
    }

    void script(const char *sql) { must(sqlite3_exec(connection_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK); }

    // How many rows the statement changed; -1 if a constraint refused it.
    int change(const char *sql, const std::string &text = {}, int number = 0) {
        const statement prepared = prepare(sql, text, number);
        const int ended = sqlite3_step(prepared.get());
        if (ended == SQLITE_CONSTRAINT) {
            return -1;
        }
        must(ended == SQLITE_DONE || ended == SQLITE_ROW);
        return sqlite3_changes(connection_.get());
    }

    // The first number of the first row.
    int number(const char *sql, const std::string &text = {}) {
        const statement prepared = prepare(sql, text, 0);
        must(sqlite3_step(prepared.get()) == SQLITE_ROW);
        return sqlite3_column_int(prepared.get(), 0);
    }

private:
    struct closes {
        void operator()(sqlite3 *connection) const { sqlite3_close(connection); }
        void operator()(sqlite3_stmt *one) const { sqlite3_finalize(one); }
    };
    using statement = std::unique_ptr<sqlite3_stmt, closes>;

    // With the text as parameter 1 and the number as parameter 2, if it has so many.
    statement prepare(const char *sql, const std::string &text, int number) {
        sqlite3_stmt *made = nullptr;
        must(sqlite3_prepare_v2(connection_.get(), sql, -1, &made, nullptr) == SQLITE_OK);
        statement prepared(made);
        const int parameters = sqlite3_bind_parameter_count(made);
        must(parameters < 1 || sqlite3_bind_text(made, 1, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT) == SQLITE_OK);
        must(parameters < 2 || sqlite3_bind_int(made, 2, number) == SQLITE_OK);
        return prepared;
    }

    void must(bool ok) const {
        if (!ok) {
            throw std::runtime_error(sqlite3_errmsg(connection_.get()));
        }
    }

    std::unique_ptr<sqlite3, closes> connection_;
};

// Is undone at its end, unless it was committed.
class transaction {
public:
    explicit transaction(database &data, const char *begin = "begin") : data_(data) { data_.change(begin); }
    ~transaction() {
        try {
            if (is_open_) {
                data_.change("rollback");
            }
        } catch (const std::runtime_error &) {
            // SQLite has undone it by itself.
        }
    }
    transaction(const transaction &) = delete;
    transaction &operator=(const transaction &) = delete;
    void commit() {
        data_.change("commit");
        is_open_ = false;
    }

private:
    database &data_;
    bool is_open_ = true;
};

#endif
