/*
 * Every message may be delivered more than once, so what it causes must be the same however often it is. A message carries a
 * key of the business (never rely on the message id), and the database decides: six ways to let it. Needs SQLite: -lsqlite3.
 */
#include <sqlite3.h>

#include "examples.h"
#include "snowflake.h"

static const char TABLES[] =
    "create table account(id integer primary key, money integer not null);"
    "create table paid(order_id text primary key);"
    "create table t_order(id integer primary key autoincrement, order_id text not null unique, status text);"
    "create table stock(id integer primary key, amount integer not null, version integer not null);"
    "create table task(id integer primary key, status text not null);"
    "create table t1(id integer primary key, money integer not null);"
    "create table points(user text primary key, amount integer not null);"
    "insert into account values (1, 1000);"
    "insert into stock values (1, 50, 7);"
    "insert into task values (1, 'new');"
    "insert into t1 values (1, 100);";

enum { COPIES = 5 };

static sqlite3 *database;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static counter deliveries = COUNTER;
static int duplicates;

static void must(bool ok) {
  if (!ok) {
    fprintf(stderr, "%s\n", sqlite3_errmsg(database));
    exit(1);
  }
}

/* Runs one statement, with the order's number as its parameter if it has one; how many rows it changed, -1 if a constraint
 * refused it. */
static int change(const char *sql, const char *order_id) {
  sqlite3_stmt *statement;
  must(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
  if (sqlite3_bind_parameter_count(statement) > 0) {
    must(sqlite3_bind_text(statement, 1, order_id, -1, SQLITE_TRANSIENT) == SQLITE_OK);
  }
  int ended = sqlite3_step(statement);
  sqlite3_finalize(statement);
  if (ended == SQLITE_CONSTRAINT) {
    return -1;
  }
  must(ended == SQLITE_DONE || ended == SQLITE_ROW);
  return sqlite3_changes(database);
}

static int number(const char *sql) {
  sqlite3_stmt *statement;
  must(sqlite3_prepare_v2(database, sql, -1, &statement, NULL) == SQLITE_OK);
  must(sqlite3_step(statement) == SQLITE_ROW);
  int found = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  return found;
}

/* 100 yuan, once: the note that the order is paid and the payment stand in one transaction. */
static bool debit(const char *order_id) {
  change("begin", NULL);
  bool noted = change("insert into paid values (?1) on conflict do nothing", order_id) == 1;
  if (noted) {
    change("update account set money = money - 100 where id = 1", NULL);
  }
  change("commit", NULL);
  return noted;
}

/* The row is locked before it is looked at: select ... for update elsewhere, an immediate transaction in SQLite. */
static bool pessimistic(void) {
  change("begin immediate", NULL);
  bool is_new = number("select count(*) from task where id = 1 and status = 'new'") == 1;
  if (is_new) {
    change("update task set status = 'done' where id = 1", NULL);
  }
  change("commit", NULL);
  return is_new;
}

/* Does the work of a message; false if it was done before. */
static bool work(const char *way, const char *order_id) {
  if (strcmp(way, "debit") == 0) {
    return debit(order_id);
  }
  if (strcmp(way, "insert") == 0) {
    /* The unique key refuses the second insert, which means that the first was done. */
    return change("insert into t_order(order_id, status) values (?1, 'new')", order_id) == 1;
  }
  if (strcmp(way, "optimistic") == 0) {
    /* The message was made from version 7; whoever comes second finds another version and changes nothing. */
    return change("update stock set amount = amount - 1, version = version + 1 where id = 1 and version = 7", NULL) == 1;
  }
  if (strcmp(way, "pessimistic") == 0) {
    return pessimistic();
  }
  if (strcmp(way, "set") == 0) {
    /* The old value stands in the condition: the second time no row has it. */
    return change("update t1 set money = 150 where id = 1 and money = 100", NULL) == 1;
  }
  /* Sets what is to be, whatever was there: doing it again changes nothing. */
  return change("insert into points values ('ann', 30) on conflict(user) do update set amount = excluded.amount "
                "where amount <> excluded.amount", NULL) == 1;
}

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  const char *order_id = fmq_stored_message_keys(message);
  char way[16];
  body_of(message, way, sizeof way);
  pthread_mutex_lock(&one_at_a_time);
  bool was_new = work(way, order_id);
  duplicates += !was_new;
  printf("%s %s: %s\n", order_id, way, was_new ? "done" : "was done already");
  pthread_mutex_unlock(&one_at_a_time);
  count_one(&deliveries);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  must(sqlite3_open(":memory:", &database) == SQLITE_OK);
  must(sqlite3_exec(database, TABLES, NULL, NULL, NULL) == SQLITE_OK);
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "ons_test", 4));
  fmq_producer *producer = producer_of(mq, "payments");
  snowflakes ids = SNOWFLAKES(1);
  const char *ways[] = {"debit", "insert", "optimistic", "pessimistic", "set", "upsert"};
  for (int way = 0; way < 6; way++) {
    /* The same order sent again and again, as a producer does that did not hear the answer. */
    char order_id[48];
    snprintf(order_id, sizeof order_id, "ORDERID_%" PRIu64, next_id(&ids));
    fmq_message *message = text_message("ons_test", ways[way]);
    check(fmq_message_add_key(message, order_id));
    for (int copy = 0; copy < COPIES; copy++) {
      check(fmq_producer_send(producer, message, -1, NULL));
    }
    fmq_message_free(message);
  }
  fmq_push_consumer *consumer = subscribe(mq, "CID_IDEMPOTENT", "ons_test", "*", listen, NULL);
  await(&deliveries, 6 * COPIES);
  finish(consumer, producer, mq);
  printf("money %d, orders %d, stock %d, task %s, t1 %d, points %d, duplicates %d\n",
         number("select money from account where id = 1"), number("select count(*) from t_order"),
         number("select amount from stock where id = 1"),
         number("select count(*) from task where status = 'done'") == 1 ? "done" : "new",
         number("select money from t1 where id = 1"), number("select amount from points where user = 'ann'"), duplicates);
  sqlite3_close(database);
  return 0;
}
