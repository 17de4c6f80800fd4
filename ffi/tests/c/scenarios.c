/*
 * What a RocketMQ client does, shown the same way wherever it runs:
 *
 *   scenarios embedded          a server of this process, in memory and in directories
 *   scenarios served            a server of this process, over TCP
 *   scenarios HOST:PORT         a cluster, by its name servers
 *
 * Further arguments name single scenarios. Each prints a line when it is done.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

#define MOST 4096

/* Where the scenarios play. */
static const char *where;
static fmq_server *server;
static fmq_instance *mq;
static char run[32];

/* What a consumer got, as text; threads share it. */
typedef struct {
  pthread_mutex_t lock;
  char bodies[MOST][32];
  int32_t times[MOST];
  int count;
} inbox;

#define EMPTY {.lock = PTHREAD_MUTEX_INITIALIZER}

static void put(inbox *box, const fmq_stored_message *stored) {
  size_t length;
  const char *body = fmq_stored_message_body(stored, &length);
  pthread_mutex_lock(&box->lock);
  CHECK(box->count < MOST && length < sizeof box->bodies[0]);
  memcpy(box->bodies[box->count], body, length);
  box->bodies[box->count][length] = '\0';
  box->times[box->count] = fmq_stored_message_reconsume_times(stored);
  box->count += 1;
  pthread_mutex_unlock(&box->lock);
}

static int count(inbox *box) {
  pthread_mutex_lock(&box->lock);
  int found = box->count;
  pthread_mutex_unlock(&box->lock);
  return found;
}

/* How often a body came. */
static int times(inbox *box, const char *body) {
  int found = 0;
  pthread_mutex_lock(&box->lock);
  for (int at = 0; at < box->count; at++) {
    found += strcmp(box->bodies[at], body) == 0;
  }
  pthread_mutex_unlock(&box->lock);
  return found;
}

/* Names that no other run uses. */
static const char *name(const char *what) {
  static char names[64][96];
  static int next;
  char *made = names[next++ % 64];
  snprintf(made, sizeof names[0], "c-%s-%s", what, run);
  return made;
}

/* Settings that make everything quick; the server's are left out for other servers. */
static fmq_options *quick(bool with_server) {
  const char *client[] = {"pollNameServerInterval", "500", "heartbeatBrokerInterval", "500",
                          "rebalanceInterval",      "500", "persistConsumerOffsetInterval", "300", NULL};
  const char *servers[] = {"messageDelayLevel",        "1s 2s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s",
                           "transactionTimeOut",       "1000",
                           "transactionCheckInterval", "300",
                           "broker.enablePropertyFilter", "true", NULL};
  fmq_options *made = options(client);
  for (int at = 0; with_server && servers[at] != NULL; at += 2) {
    OK(fmq_options_set(made, servers[at], servers[at + 1]));
  }
  return made;
}

static fmq_instance *open_at(const char *path) {
  fmq_options *settings = quick(true);
  fmq_instance *opened;
  OK(fmq_open(path, settings, &opened));
  fmq_options_free(settings);
  return opened;
}

static fmq_server *serve(const char *path, const char *listen) {
  fmq_options *settings = quick(true);
  OK(fmq_options_set(settings, "listen", listen));
  fmq_server *started;
  OK(fmq_server_start(path, settings, &started));
  fmq_options_free(settings);
  return started;
}

static fmq_instance *connect_to(const char *name_servers) {
  fmq_options *settings = quick(false);
  fmq_instance *connected;
  OK(fmq_connect(name_servers, settings, &connected));
  fmq_options_free(settings);
  return connected;
}

/* Makes a topic and waits for its route. */
static void create(fmq_instance *client, const char *topic, size_t queues) {
  int64_t give_up = now_ms() + 60000, again = 0;
  for (;;) {
    if (now_ms() >= again) {
      fmq_error_free(fmq_instance_create_topic(client, topic, (int32_t)queues));
      again = now_ms() + 5000;
    }
    fmq_queues *found = NULL;
    fmq_error_free(fmq_instance_queues(client, topic, &found));
    size_t there = fmq_queues_count(found);
    fmq_queues_free(found);
    if (there == queues) {
      return;
    }
    CHECK(now_ms() < give_up && "a route");
    sleep_ms(20);
  }
}

static fmq_producer *producer_of(fmq_instance *client) {
  const char *patient[] = {"sendMsgTimeout", "20000", NULL};
  fmq_options *settings = options(patient);
  fmq_producer *made;
  OK(fmq_producer_new(client, name("P"), settings, &made));
  fmq_options_free(settings);
  return made;
}

static fmq_options *from_first(const char *key, const char *value) {
  const char *usual[] = {"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", "consumeThreadMin", "4",
                         "consumeThreadMax", "4", NULL};
  fmq_options *made = options(usual);
  if (key != NULL) {
    OK(fmq_options_set(made, key, value));
  }
  return made;
}

static int32_t into_inbox(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)context;
  for (size_t at = 0; at < fmq_messages_count(messages); at++) {
    put(user_data, fmq_messages_at(messages, at));
  }
  return FMQ_SUCCESS;
}

/* A running consumer of one topic. */
static fmq_push_consumer *listen_to(fmq_instance *client, const char *group, const char *topic,
                                    const char *expression, fmq_options *settings, fmq_listener listener,
                                    void *user_data) {
  fmq_push_consumer *made;
  OK(fmq_push_consumer_new(client, group, settings, &made));
  fmq_options_free(settings);
  OK(fmq_push_consumer_subscribe(made, topic, expression));
  OK(fmq_push_consumer_listen(made, listener, user_data, NULL));
  OK(fmq_push_consumer_start(made));
  return made;
}

static void send_numbered(fmq_producer *producer, const char *topic, int from, int to) {
  for (int number = from; number < to; number++) {
    char body[32];
    snprintf(body, sizeof body, "message %d", number);
    fmq_message *made = message(topic, body);
    fmq_sent *sent;
    OK(fmq_producer_send(producer, made, -1, &sent));
    CHECK(fmq_sent_status(sent) == FMQ_SEND_OK);
    fmq_sent_free(sent);
    fmq_message_free(made);
  }
}

/* Each of the numbers came once. */
static void expect_numbered(inbox *box, int from, int to) {
  EVENTUALLY(count(box) >= to - from);
  for (int number = from; number < to; number++) {
    char body[32];
    snprintf(body, sizeof body, "message %d", number);
    CHECK(times(box, body) == 1);
  }
}

/* ---- send: waiting, with callback, oneway, as a batch; all arrive ---- */

static atomic_int told;

static void count_sent(const fmq_sent *sent, const fmq_error *error, void *user_data) {
  CHECK(error == NULL && sent != NULL);
  CHECK(fmq_sent_message_id(sent)[0] != '\0' && user_data == &told);
  atomic_fetch_add(&told, 1);
}

static void scenario_send(void) {
  const char *topic = name("send");
  create(mq, topic, 4);
  fmq_producer *producer = producer_of(mq);
  send_numbered(producer, topic, 0, 10);
  fmq_batch *batch;
  OK(fmq_batch_new(&batch));
  for (int number = 10; number < 40; number++) {
    char body[32];
    snprintf(body, sizeof body, "message %d", number);
    fmq_message *made = message(topic, body);
    if (number < 20) {
      OK(fmq_producer_send_callback(producer, made, NULL, count_sent, &told, NULL));
    } else if (number < 30) {
      OK(fmq_producer_send_oneway(producer, made, NULL));
    } else {
      OK(fmq_batch_add(batch, made));
    }
    fmq_message_free(made);
  }
  fmq_sent *sent;
  OK(fmq_producer_send_batch(producer, batch, NULL, &sent));
  CHECK(strchr(fmq_sent_message_id(sent), ',') != NULL);
  fmq_sent_free(sent);
  fmq_batch_free(batch);
  EVENTUALLY(atomic_load(&told) == 10);
  static inbox got = EMPTY;
  fmq_push_consumer *consumer =
      listen_to(mq, name("send-G"), topic, "*", from_first(NULL, NULL), into_inbox, &got);
  expect_numbered(&got, 0, 40);
  fmq_message *nowhere = message("", "x");
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send(producer, nowhere, -1, NULL));
  fmq_message_free(nowhere);
  fmq_push_consumer_free(consumer);
  fmq_producer_free(producer);
}

/* ---- pull: poll and commit, another member goes on; assign and seek ---- */

static int poll_numbered(fmq_consumer *consumer, inbox *box, int wanted) {
  int64_t give_up = now_ms() + 60000;
  int got = 0;
  while (got < wanted) {
    CHECK(now_ms() < give_up);
    fmq_messages *messages;
    OK(fmq_consumer_poll(consumer, 200, &messages));
    for (size_t at = 0; at < fmq_messages_count(messages); at++, got++) {
      put(box, fmq_messages_at(messages, at));
    }
    fmq_messages_free(messages);
  }
  return got;
}

static fmq_consumer *puller(fmq_instance *client, const char *group, const char *topic) {
  fmq_options *settings = from_first("pollBatch", "4");
  fmq_consumer *made;
  OK(fmq_consumer_new(client, group, settings, &made));
  fmq_options_free(settings);
  if (topic != NULL) {
    OK(fmq_consumer_subscribe(made, topic, "*"));
  }
  return made;
}

static void scenario_pull(void) {
  const char *topic = name("pull"), *group = name("pull-G");
  create(mq, topic, 1);
  fmq_producer *producer = producer_of(mq);
  send_numbered(producer, topic, 0, 20);
  static inbox first = EMPTY, second = EMPTY, again = EMPTY;
  fmq_consumer *consumer = puller(mq, group, topic);
  CHECK(poll_numbered(consumer, &first, 20) == 20);
  OK(fmq_consumer_commit(consumer));
  OK(fmq_consumer_flush(consumer));
  OK(fmq_consumer_close(consumer, -1));
  fmq_consumer_free(consumer);
  send_numbered(producer, topic, 20, 24);
  consumer = puller(mq, group, topic);
  poll_numbered(consumer, &second, 4);
  expect_numbered(&second, 20, 24);
  fmq_consumer_free(consumer);

  fmq_queues *queues;
  OK(fmq_instance_queues(mq, topic, &queues));
  const fmq_queue *queue = fmq_queues_at(queues, 0);
  consumer = puller(mq, name("pull-H"), NULL);
  OK(fmq_consumer_assign(consumer, queues));
  OK(fmq_consumer_seek(consumer, queue, 15));
  poll_numbered(consumer, &again, 9);
  CHECK(strcmp(again.bodies[0], "message 15") == 0);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_seek(consumer, queue, 1000));
  int64_t offset;
  OK(fmq_instance_max_offset(mq, queue, &offset));
  CHECK(offset == 24);
  fmq_queues_free(queues);
  fmq_consumer_free(consumer);
  fmq_producer_free(producer);
}

/* ---- order: by sharding key, each key's messages in their order though one fails at first ---- */

static atomic_bool failed_once;

static int32_t in_order(const fmq_messages *messages, const fmq_orderly_context *context, void *user_data) {
  const fmq_stored_message *first = fmq_messages_at(messages, 0);
  if (body_is(first, "3-2") && !atomic_exchange(&failed_once, true)) {
    OK(fmq_orderly_context_set_suspend_time(context, 50));
    return FMQ_LATER;
  }
  for (size_t at = 0; at < fmq_messages_count(messages); at++) {
    put(user_data, fmq_messages_at(messages, at));
  }
  return FMQ_SUCCESS;
}

static void scenario_order(void) {
  const char *topic = name("order");
  create(mq, topic, 4);
  fmq_producer *producer = producer_of(mq);
  for (int step = 0; step < 4; step++) {
    for (int order = 0; order < 20; order++) {
      char body[32], key[32];
      snprintf(body, sizeof body, "%d-%d", order, step);
      snprintf(key, sizeof key, "order-%d", order);
      fmq_message *made = message(topic, body);
      fmq_send_options *to;
      OK(fmq_send_options_new(&to));
      OK(fmq_send_options_set_sharding_key(to, key));
      OK(fmq_producer_send_with(producer, made, to, NULL));
      fmq_send_options_free(to);
      fmq_message_free(made);
    }
  }
  static inbox got = EMPTY;
  fmq_push_consumer *consumer;
  fmq_options *settings = from_first(NULL, NULL);
  OK(fmq_push_consumer_new(mq, name("order-G"), settings, &consumer));
  fmq_options_free(settings);
  OK(fmq_push_consumer_subscribe(consumer, topic, "*"));
  OK(fmq_push_consumer_listen_orderly(consumer, in_order, &got, NULL));
  OK(fmq_push_consumer_start(consumer));
  EVENTUALLY(count(&got) >= 80);
  int next[20] = {0};
  for (int at = 0; at < 80; at++) {
    int order, step;
    CHECK(sscanf(got.bodies[at], "%d-%d", &order, &step) == 2);
    CHECK(step == next[order]);
    next[order] += 1;
  }
  CHECK(atomic_load(&failed_once));
  fmq_push_consumer_free(consumer);
  fmq_producer_free(producer);
}

/* ---- filter: by tag and by SQL92 ---- */

static void scenario_filter(void) {
  const char *topic = name("filter");
  create(mq, topic, 2);
  fmq_producer *producer = producer_of(mq);
  const char *tags[] = {"TAGA", "TAGB", "TAGC", "TAGD"};
  for (int number = 0; number < 12; number++) {
    char body[32], a[8];
    snprintf(body, sizeof body, "%s %d", tags[number % 4], number);
    snprintf(a, sizeof a, "%d", number);
    fmq_message *made = message(topic, body);
    OK(fmq_message_set_tag(made, tags[number % 4]));
    OK(fmq_message_set_property(made, "a", a));
    OK(fmq_producer_send(producer, made, -1, NULL));
    fmq_message_free(made);
  }
  static inbox by_tag = EMPTY, by_sql = EMPTY;
  fmq_push_consumer *consumer =
      listen_to(mq, name("tag-G"), topic, "TAGA || TAGC", from_first(NULL, NULL), into_inbox, &by_tag);
  EVENTUALLY(count(&by_tag) >= 6);
  sleep_ms(300);
  CHECK(count(&by_tag) == 6 && times(&by_tag, "TAGB 1") == 0 && times(&by_tag, "TAGC 2") == 1);
  fmq_push_consumer_free(consumer);

  fmq_options *settings = from_first(NULL, NULL);
  OK(fmq_push_consumer_new(mq, name("sql-G"), settings, &consumer));
  OK(fmq_push_consumer_subscribe_sql(consumer, topic, "a BETWEEN 0 AND 3"));
  OK(fmq_push_consumer_listen(consumer, into_inbox, &by_sql, NULL));
  OK(fmq_push_consumer_start(consumer));
  EVENTUALLY(count(&by_sql) >= 4);
  sleep_ms(300);
  CHECK(count(&by_sql) == 4 && times(&by_sql, "TAGD 3") == 1 && times(&by_sql, "TAGA 4") == 0);
  fmq_push_consumer_free(consumer);
  fmq_push_consumer *wrong;
  OK(fmq_push_consumer_new(mq, name("wrong-G"), settings, &wrong));
  OK(fmq_push_consumer_subscribe_sql(wrong, topic, "a BETWEEN AND"));
  OK(fmq_push_consumer_listen(wrong, into_inbox, &by_sql, NULL));
  fmq_error *refused = fmq_push_consumer_start(wrong);
  CHECK(refused != NULL && fmq_error_message(refused)[0] != '\0');
  fmq_error_free(refused);
  fmq_push_consumer_free(wrong);
  fmq_options_free(settings);
  fmq_producer_free(producer);
}

/* ---- retry: what fails comes again, and is a dead letter in the end ---- */

static int32_t fails_twice(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  const fmq_stored_message *first = fmq_messages_at(messages, 0);
  put(user_data, first);
  OK(fmq_consume_context_set_delay_level(context, 1));
  return fmq_stored_message_reconsume_times(first) < 2 ? FMQ_LATER : FMQ_SUCCESS;
}

static int32_t fails_always(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  OK(fmq_consume_context_set_delay_level(context, 1));
  put(user_data, fmq_messages_at(messages, 0));
  return 77;
}

static void scenario_retry(void) {
  const char *topic = name("retry");
  create(mq, topic, 1);
  fmq_producer *producer = producer_of(mq);
  send_numbered(producer, topic, 0, 1);
  static inbox got = EMPTY, dead = EMPTY;
  fmq_push_consumer *consumer =
      listen_to(mq, name("retry-G"), topic, "*", from_first(NULL, NULL), fails_twice, &got);
  EVENTUALLY(count(&got) >= 3);
  for (int at = 0; at < 3; at++) {
    CHECK(got.times[at] == at);
  }
  fmq_push_consumer_free(consumer);
  const char *group = name("dead-G");
  char dead_topic[128];
  snprintf(dead_topic, sizeof dead_topic, "%%DLQ%%%s", group);
  consumer = listen_to(mq, group, topic, "*", from_first("maxReconsumeTimes", "1"), fails_always, &dead);
  int64_t letters = 0;
  for (int64_t give_up = now_ms() + 60000; letters == 0; sleep_ms(100)) {
    CHECK(now_ms() < give_up && "a dead letter");
    fmq_queues *queues = NULL;
    fmq_error_free(fmq_instance_queues(mq, dead_topic, &queues));
    if (fmq_queues_count(queues) > 0) {
      fmq_error_free(fmq_instance_max_offset(mq, fmq_queues_at(queues, 0), &letters));
    }
    fmq_queues_free(queues);
  }
  CHECK(letters == 1 && count(&dead) == 2);
  fmq_push_consumer_free(consumer);
  fmq_producer_free(producer);
}

/* ---- transaction: commit, rollback, and one that the broker has to ask for ---- */

static atomic_int checks;

static int32_t execute(const fmq_message *half, const char *transaction_id, void *user_data) {
  size_t length;
  const char *body = fmq_message_body(half, &length);
  CHECK(transaction_id[0] != '\0' && user_data == &checks);
  CHECK(length == 1);
  return *body == 'c' ? FMQ_COMMIT : *body == 'r' ? FMQ_ROLLBACK : FMQ_UNKNOWN;
}

static int32_t check(const fmq_stored_message *half, void *user_data) {
  CHECK(fmq_stored_message_id(half)[0] != '\0');
  /* A broker may also ask for what it was told: Apache's does while it has not written that down. */
  if (body_is(half, "u")) {
    atomic_fetch_add((atomic_int *)user_data, 1);
  }
  return body_is(half, "r") ? FMQ_ROLLBACK : FMQ_COMMIT;
}

static int32_t commits(const fmq_message *half, const char *transaction_id, void *user_data) {
  CHECK(fmq_message_topic(half)[0] == 'c' && transaction_id[0] != '\0');
  *(int *)user_data += 1;
  return FMQ_COMMIT;
}

static void scenario_transaction(void) {
  const char *topic = name("transaction");
  create(mq, topic, 2);
  fmq_transaction_producer *producer;
  OK(fmq_transaction_producer_new(mq, name("transaction-P"), NULL, execute, check, &checks, NULL, &producer));
  static inbox got = EMPTY;
  fmq_push_consumer *consumer =
      listen_to(mq, name("transaction-G"), topic, "*", from_first(NULL, NULL), into_inbox, &got);
  const char *bodies[] = {"c", "r", "u", "x"};
  const int32_t states[] = {FMQ_COMMIT, FMQ_ROLLBACK, FMQ_UNKNOWN, FMQ_COMMIT};
  int executed = 0;
  for (int at = 0; at < 4; at++) {
    fmq_message *half = message(topic, bodies[at]);
    fmq_sent *sent;
    int32_t state;
    if (at < 3) {
      OK(fmq_transaction_producer_send(producer, half, &sent, &state));
    } else {
      OK(fmq_transaction_producer_send_with_executor(producer, half, commits, &executed, &sent, &state));
    }
    CHECK(state == states[at] && fmq_sent_status(sent) == FMQ_SEND_OK);
    fmq_sent_free(sent);
    fmq_message_free(half);
  }
  CHECK(executed == 1);
  EVENTUALLY(times(&got, "u") >= 1);
  CHECK(atomic_load(&checks) >= 1);
  sleep_ms(300);
  CHECK(times(&got, "c") >= 1 && times(&got, "x") >= 1 && times(&got, "r") == 0);
  OK(fmq_transaction_producer_close(producer, -1));
  fmq_transaction_producer_free(producer);
  fmq_push_consumer_free(consumer);
}

/* ---- restart: messages and offsets are there afterwards ---- */

static void scenario_restart(void) {
  char directory[] = "/tmp/ferromq-c-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  const char *topic = name("restart"), *group = name("restart-G");
  bool embedded = strcmp(where, "embedded") == 0, served = strcmp(where, "served") == 0;
  fmq_server *own = served ? serve(directory, "free") : NULL;
  char ports[64] = "", address[64];
  if (own != NULL) {
    uint16_t name_server, broker;
    OK(fmq_server_ports(own, &name_server, &broker));
    snprintf(ports, sizeof ports, "127.0.0.1:%u:%u", name_server, broker);
    snprintf(address, sizeof address, "%s", fmq_server_name_servers(own));
  } else {
    snprintf(address, sizeof address, "%s", where);
  }
  static inbox first = EMPTY, second = EMPTY;
  for (int life = 0; life < 2; life++) {
    fmq_instance *client = embedded ? open_at(directory) : connect_to(address);
    if (life == 0) {
      create(client, topic, 1);
      fmq_producer *producer = producer_of(client);
      send_numbered(producer, topic, 0, 20);
      fmq_producer_free(producer);
    }
    fmq_options *settings = from_first("pollBatch", "8");
    OK(fmq_options_set(settings, "autoCommit", "false"));
    fmq_consumer *consumer;
    OK(fmq_consumer_new(client, group, settings, &consumer));
    fmq_options_free(settings);
    OK(fmq_consumer_subscribe(consumer, topic, "*"));
    if (life == 0) {
      CHECK(poll_numbered(consumer, &first, 8) == 8);
      OK(fmq_consumer_commit(consumer));
    } else {
      poll_numbered(consumer, &second, 12);
      expect_numbered(&second, 8, 20);
    }
    OK(fmq_instance_close(client, -1));
    fmq_consumer_free(consumer);
    fmq_instance_free(client);
    if (own != NULL && life == 0) {
      OK(fmq_server_stop(own, -1));
      fmq_server_free(own);
      own = serve(directory, ports);
    }
  }
  fmq_server_free(own);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CHECK(system(command) == 0);
}

/* ---- broadcasting: every member gets all ---- */

static void scenario_broadcasting(void) {
  char directory[] = "/tmp/ferromq-c-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  const char *topic = name("broadcasting"), *group = name("broadcasting-G");
  create(mq, topic, 2);
  fmq_producer *producer = producer_of(mq);
  send_numbered(producer, topic, 0, 10);
  static inbox got[2] = {EMPTY, EMPTY};
  fmq_instance *clients[2];
  fmq_push_consumer *members[2];
  for (int at = 0; at < 2; at++) {
    /* A server of this process has one client. */
    bool has_one = strcmp(where, "embedded") == 0;
    clients[at] = has_one ? mq : connect_to(fmq_instance_name_servers(mq));
    fmq_options *settings = from_first("messageModel", "BROADCASTING");
    OK(fmq_options_set(settings, "offsetStoreDir", directory));
    const char *of = has_one && at == 1 ? name("broadcasting-H") : group;
    members[at] = listen_to(clients[at], of, topic, "*", settings, into_inbox, &got[at]);
  }
  for (int at = 0; at < 2; at++) {
    expect_numbered(&got[at], 0, 10);
    fmq_push_consumer_free(members[at]);
    if (clients[at] != mq) {
      fmq_instance_free(clients[at]);
    }
  }
  fmq_producer_free(producer);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CHECK(system(command) == 0);
}

/* ---- delay: not before its time ---- */

static void scenario_delay(void) {
  const char *topic = name("delay");
  create(mq, topic, 1);
  fmq_producer *producer = producer_of(mq);
  static inbox got = EMPTY;
  fmq_push_consumer *consumer =
      listen_to(mq, name("delay-G"), topic, "*", from_first(NULL, NULL), into_inbox, &got);
  fmq_message *later = message(topic, "later");
  OK(fmq_message_set_delay_level(later, 1));
  int64_t begun = now_ms();
  OK(fmq_producer_send(producer, later, -1, NULL));
  fmq_message_free(later);
  EVENTUALLY(count(&got) >= 1);
  /* The broker's clock counts whole ms. */
  CHECK(now_ms() - begun >= 990);
  fmq_push_consumer_free(consumer);
  fmq_producer_free(producer);
}

static const struct {
  const char *name;
  void (*play)(void);
} scenarios[] = {
    {"send", scenario_send},       {"pull", scenario_pull},
    {"order", scenario_order},     {"filter", scenario_filter},
    {"retry", scenario_retry},     {"transaction", scenario_transaction},
    {"restart", scenario_restart}, {"broadcasting", scenario_broadcasting},
    {"delay", scenario_delay},
};

int main(int arguments, char **argument) {
  CHECK(arguments >= 2);
  where = argument[1];
  snprintf(run, sizeof run, "%ld-%" PRId64, (long)getpid(), now_ms() % 1000000);
  if (strcmp(where, "embedded") == 0) {
    mq = open_at(NULL);
  } else if (strcmp(where, "served") == 0) {
    server = serve(NULL, "free");
    mq = connect_to(fmq_server_name_servers(server));
  } else {
    mq = connect_to(where);
  }
  for (size_t at = 0; at < sizeof scenarios / sizeof scenarios[0]; at++) {
    bool wanted = arguments == 2;
    for (int given = 2; given < arguments; given++) {
      wanted |= strcmp(argument[given], scenarios[at].name) == 0;
    }
    if (wanted) {
      scenarios[at].play();
      printf("%s\n", scenarios[at].name);
      fflush(stdout);
    }
  }
  OK(fmq_instance_close(mq, -1));
  fmq_instance_free(mq);
  fmq_server_free(server);
  return 0;
}
