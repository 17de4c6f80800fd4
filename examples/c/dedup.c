/*
 * A table of the messages that were worked on. The entry and the result of the work appear in one transaction: killed at any
 * moment, the program goes on at its next start, and every message counts once. Needs SQLite: -lsqlite3.
 *
 * DEDUP_DATABASE is the database's file; DEDUP_PAUSE_MS lies between two steps, for whoever wants to kill the program there.
 */
#include <sqlite3.h>

#include "examples.h"

/* Messages, each of which is sent twice. */
enum { MESSAGES = 50 };

static const char TABLES[] = "create table if not exists processed(message_key text primary key);"
                             "create table if not exists result(message_key text, amount integer);"
                             "create table if not exists produced(done integer);";

static sqlite3 *database;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static counter processed = COUNTER;
static long pause_ms;

static void must(bool ok) {
  if (!ok) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    exit(1);
  }
}

/* Runs one statement with these parameters, as many as it has; its first number if it has rows, 0 otherwise. */
static int run(const char *sql, const char *key, int amount) {
  sqlite3_stmt *statement;
  must(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
  int parameters = sqlite3_bind_parameter_count(statement);
  must(parameters < 1 || sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT) == SQLITE_OK);
  must(parameters < 2 || sqlite3_bind_int(statement, 2, amount) == SQLITE_OK);
  int ended = sqlite3_step(statement), found = ended == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
  must(ended == SQLITE_ROW || ended == SQLITE_DONE);
  sqlite3_finalize(statement);
  return found;
}

static void step(const char *what, const char *key) {
  printf("%s %s\n", what, key);
  fflush(stdout);
  struct timespec time = {pause_ms / 1000, pause_ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static void work(const char *key, int amount) {
  printf("begin %s\n", key);
  run("begin", NULL, 0);
  if (run("select count(*) from processed where message_key = ?1", key, 0) > 0) {
    run("rollback", NULL, 0);
    printf("again %s\n", key);
    return;
  }
  /* The work itself. What is not in the database, such as a call to another service, needs a key there as well. */
  run("insert into result values (?1, ?2)", key, amount);
  step("worked", key);
  run("insert into processed values (?1)", key, 0);
  step("marked", key);
  run("commit", NULL, 0);
  step("done", key);
  count_one(&processed);
}

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  char text[16];
  pthread_mutex_lock(&one_at_a_time);
  work(fmq_stored_message_keys(message), atoi(body_of(message, text, sizeof text)));
  pthread_mutex_unlock(&one_at_a_time);
  return FMQ_SUCCESS;
}

static void produce(fmq_instance *mq) {
  if (run("select count(*) from produced", NULL, 0) > 0) {
    return;
  }
  fmq_producer *producer = producer_of(mq, "dedup-producers");
  for (int number = 0; number < 2 * MESSAGES; number++) {
    char body[16], key[16];
    snprintf(body, sizeof body, "%d", number / 2);
    snprintf(key, sizeof key, "ID_%d", number / 2);
    fmq_message *message = text_message("Deduplicated", body);
    check(fmq_message_add_key(message, key));
    send_and_free(producer, message);
  }
  /* Killed before this, the next run sends once more: that is harmless here. */
  run("insert into produced values (1)", NULL, 0);
  check(fmq_producer_close(producer, -1));
  fmq_producer_free(producer);
}

int main(int count, char **arguments) {
  pause_ms = atol(from_environment("DEDUP_PAUSE_MS", "0"));
  must(sqlite3_open(from_environment("DEDUP_DATABASE", ":memory:"), &database) == SQLITE_OK);
  must(sqlite3_exec(database, TABLES, NULL, NULL, NULL) == SQLITE_OK);
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Deduplicated", 4));
  produce(mq);
  processed.count = run("select count(*) from processed", NULL, 0);
  fmq_push_consumer *consumer = subscribe(mq, "CID_DEDUP", "Deduplicated", "*", listen, NULL);
  await(&processed, MESSAGES);
  finish(consumer, NULL, mq);
  printf("%d messages, sum %d\n", run("select count(*) from processed", NULL, 0),
         run("select sum(amount) from result", NULL, 0));
  sqlite3_close(database);
  return 0;
}
