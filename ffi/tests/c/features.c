/* What the other programs do not touch: every way to send, descriptors and wake-ups, requests, operators' calls, the log. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"

static fmq_instance *mq;
static fmq_producer *producer;
static fmq_options *first;
static atomic_int freed;

static void given_back(void *user_data) {
  (void)user_data;
  atomic_fetch_add(&freed, 1);
}

static fmq_consumer *reader(const char *group, const char *topic) {
  fmq_consumer *made;
  OK(fmq_consumer_new(mq, group, first, &made));
  OK(fmq_consumer_subscribe(made, topic, "*"));
  return made;
}

/* ---- messages: what is set is read ---- */

static void messages_are_what_was_set(void) {
  fmq_message *made;
  OK(fmq_message_new("Things", "a\0b", 3, &made));
  OK(fmq_message_set_tag(made, "tag"));
  OK(fmq_message_add_key(made, "k1"));
  OK(fmq_message_add_key(made, "k2"));
  OK(fmq_message_set_property(made, "colour", "röd"));
  OK(fmq_message_set_delay_level(made, 3));
  OK(fmq_message_set_delay_level(made, 0));
  OK(fmq_message_set_wait(made, false));
  OK(fmq_message_set_sharding_key(made, "shard"));
  OK(fmq_message_set_flag(made, 42));
  OK(fmq_message_set_transaction_check_immunity(made, 7));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_add_key(made, "two words"));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_set_delay_level(made, -1));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_set_property(made, "empty", ""));
  size_t length;
  CHECK(memcmp(fmq_message_body(made, &length), "a\0b", 3) == 0 && length == 3);
  CHECK(strcmp(fmq_message_topic(made), "Things") == 0 && strcmp(fmq_message_tag(made), "tag") == 0);
  CHECK(strcmp(fmq_message_keys(made), "k1 k2") == 0);
  CHECK(strcmp(fmq_message_property(made, "colour"), "röd") == 0);
  CHECK(fmq_message_property(made, "other") == NULL);
  const char *name, *value;
  int found = 0;
  for (size_t at = 0; fmq_message_property_at(made, at, &name, &value); at++) {
    found += strcmp(name, "colour") == 0 && strcmp(value, "röd") == 0;
  }
  CHECK(found == 1);
  OK(fmq_message_set_body(made, "other", 5));

  fmq_consumer *consumer = reader("things", "Things");
  fmq_sent *sent;
  OK(fmq_producer_send(producer, made, -1, &sent));
  fmq_messages *messages;
  OK(fmq_consumer_poll(consumer, 60000, &messages));
  const fmq_stored_message *stored = fmq_messages_at(messages, 0);
  CHECK(fmq_messages_at(messages, 1) == NULL && body_is(stored, "other"));
  CHECK(strcmp(fmq_stored_message_topic(stored), "Things") == 0 && fmq_stored_message_flag(stored) == 42);
  CHECK(strcmp(fmq_stored_message_tag(stored), "tag") == 0 && strcmp(fmq_stored_message_keys(stored), "k1 k2") == 0);
  CHECK(strcmp(fmq_stored_message_id(stored), fmq_sent_message_id(sent)) == 0);
  CHECK(strcmp(fmq_stored_message_offset_id(stored), fmq_sent_offset_id(sent)) == 0);
  CHECK(strcmp(fmq_stored_message_broker(stored), fmq_queue_broker(fmq_sent_queue(sent))) == 0);
  CHECK(fmq_stored_message_queue_id(stored) == fmq_queue_id(fmq_sent_queue(sent)));
  CHECK(fmq_stored_message_queue_offset(stored) == fmq_sent_queue_offset(sent));
  CHECK(fmq_stored_message_physical_offset(stored) >= 0 && fmq_stored_message_sys_flag(stored) == 0);
  CHECK(fmq_stored_message_born_timestamp(stored) > 1000000000000 && fmq_stored_message_reconsume_times(stored) == 0);
  CHECK(fmq_stored_message_store_timestamp(stored) >= fmq_stored_message_born_timestamp(stored) - 1000);
  CHECK(strchr(fmq_stored_message_born_host(stored), ':') != NULL);
  CHECK(strcmp(fmq_stored_message_property(stored, "colour"), "röd") == 0);
  CHECK(fmq_stored_message_property_at(stored, 0, &name, &value) && !fmq_stored_message_property_at(stored, 99, NULL, NULL));
  fmq_stored_message *copy, *found_by_id;
  OK(fmq_stored_message_clone(stored, &copy));
  fmq_messages_free(messages);
  CHECK(body_is(copy, "other") && strcmp(fmq_stored_message_topic(copy), "Things") == 0);
  OK(fmq_instance_message_by_id(mq, fmq_stored_message_offset_id(copy), &found_by_id));
  CHECK(strcmp(fmq_stored_message_id(found_by_id), fmq_stored_message_id(copy)) == 0);
  fmq_stored_message_free(found_by_id);
  OK(fmq_instance_messages_by_key(mq, "Things", "k2", 10, 0, INT64_MAX, &messages));
  CHECK(fmq_messages_count(messages) == 1);
  fmq_messages_free(messages);
  FAILS(FMQ_NOT_FOUND, fmq_instance_message_by_unique_key(mq, "Things", "no such id", &found_by_id));
  fmq_stored_message_free(copy);
  fmq_sent_free(sent);
  fmq_message_free(made);
  fmq_consumer_free(consumer);
}

/* ---- where to: a queue, keys, any, machine rooms, a function ---- */

static size_t last_queue(const fmq_queues *queues, const fmq_message *of, void *user_data) {
  CHECK(strcmp(fmq_message_topic(of), "Choices") == 0 && user_data == &freed);
  CHECK(fmq_queue_topic(fmq_queues_at(queues, 0)) != NULL);
  return fmq_queues_count(queues) - 1;
}

static size_t no_queue(const fmq_queues *queues, const fmq_message *of, void *user_data) {
  (void)of;
  (void)user_data;
  return fmq_queues_count(queues);
}

static int32_t sent_to(fmq_send_options *to) {
  fmq_message *made = message("Choices", "x");
  fmq_sent *sent;
  OK(fmq_producer_send_with(producer, made, to, &sent));
  int32_t queue = fmq_queue_id(fmq_sent_queue(sent));
  fmq_sent_free(sent);
  fmq_message_free(made);
  return queue;
}

static void sends_choose_their_queue(void) {
  OK(fmq_instance_create_topic(mq, "Choices", 4));
  fmq_queues *queues, *for_sends, *own;
  OK(fmq_instance_queues(mq, "Choices", &queues));
  OK(fmq_producer_queues(producer, "Choices", &for_sends));
  CHECK(fmq_queues_count(queues) == 4 && fmq_queues_count(for_sends) == 4);
  fmq_send_options *to;
  OK(fmq_send_options_new(&to));
  OK(fmq_send_options_set_timeout(to, 20000));
  for (size_t at = 0; at < 4; at++) {
    const fmq_queue *queue = fmq_queues_at(queues, at);
    OK(fmq_send_options_set_queue(to, queue));
    CHECK(sent_to(to) == fmq_queue_id(queue));
  }
  OK(fmq_send_options_set_sharding_key(to, "one"));
  int32_t of_key = sent_to(to);
  CHECK(sent_to(to) == of_key);
  OK(fmq_send_options_select_by_hash(to, "one"));
  CHECK(sent_to(to) == of_key);
  OK(fmq_send_options_select_by_random(to));
  CHECK(sent_to(to) >= 0);
  OK(fmq_send_options_select_by_machine_room(to, "room1, room2"));
  fmq_message *made = message("Choices", "x");
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send_with(producer, made, to, NULL));
  OK(fmq_send_options_select_own(to, last_queue, &freed, given_back));
  CHECK(sent_to(to) == 3 && atomic_load(&freed) == 0);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_send_options_select_own(to, NULL, &freed, given_back));
  CHECK(atomic_load(&freed) == 1);
  OK(fmq_send_options_select_own(to, no_queue, &freed, NULL));
  CHECK(atomic_load(&freed) == 2);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send_with(producer, made, to, NULL));
  fmq_send_options_free(to);
  fmq_message_free(made);

  fmq_queue *queue, *same;
  OK(fmq_queue_new("Choices", fmq_queue_broker(fmq_queues_at(queues, 2)), 2, &queue));
  CHECK(fmq_queue_equals(queue, fmq_queues_at(queues, 2)) && !fmq_queue_equals(queue, fmq_queues_at(queues, 1)));
  OK(fmq_queue_clone(queue, &same));
  OK(fmq_queues_new(&own));
  OK(fmq_queues_add(own, same));
  CHECK(fmq_queues_count(own) == 1 && fmq_queues_at(own, 1) == NULL);
  fmq_queue_free((fmq_queue *)(uintptr_t)fmq_queues_at(own, 0));
  CHECK(fmq_queue_equals(fmq_queues_at(own, 0), queue));
  int64_t min, max, at_time, earliest;
  OK(fmq_instance_min_offset(mq, queue, &min));
  OK(fmq_instance_max_offset(mq, queue, &max));
  OK(fmq_instance_search_offset(mq, queue, 0, &at_time));
  OK(fmq_instance_earliest_store_time(mq, queue, &earliest));
  CHECK(min == 0 && max >= 1 && at_time == 0 && earliest > 1000000000000);
  fmq_queue_free(queue);
  fmq_queue_free(same);
  fmq_queues_free(own);
  fmq_queues_free(for_sends);
  fmq_queues_free(queues);
}

/* ---- batches ---- */

static atomic_int told;

static void tell(const fmq_sent *sent, const fmq_error *error, void *user_data) {
  CHECK((sent == NULL) != (error == NULL) && user_data == &told);
  atomic_fetch_add(&told, error == NULL ? 1 : 100);
}

static void batches(void) {
  OK(fmq_instance_create_topic(mq, "Batches", 1));
  fmq_batch *batch;
  OK(fmq_batch_new(&batch));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send_batch(producer, batch, NULL, NULL));
  for (int number = 0; number < 3000; number++) {
    char body[1024];
    memset(body, 'x', sizeof body);
    OK(fmq_batch_add_body(batch, "Batches", body, sizeof body));
  }
  FAILS(FMQ_INVALID_ARGUMENT, fmq_batch_add_body(batch, "Batches", NULL, 1));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_batch_add_body(batch, NULL, "x", 1));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_batch_add_body(NULL, "Batches", "x", 1));
  CHECK(fmq_batch_count(batch) == 3000);
  size_t stored;
  OK(fmq_producer_send_split(producer, batch, &stored));
  CHECK(stored == 3000);
  OK(fmq_batch_clear(batch));
  CHECK(fmq_batch_count(batch) == 0);
  OK(fmq_producer_send_split(producer, batch, &stored));
  CHECK(stored == 0);
  fmq_message *made = message("Batches", "x");
  OK(fmq_batch_add(batch, made));
  OK(fmq_producer_send_batch_callback(producer, batch, NULL, tell, &told, NULL));
  EVENTUALLY(atomic_load(&told) == 1 && fmq_producer_sends_in_flight(producer) == 0);
  fmq_message *other = message("Things", "x");
  OK(fmq_batch_add(batch, other));
  OK(fmq_producer_send_batch_callback(producer, batch, NULL, tell, &told, NULL));
  EVENTUALLY(atomic_load(&told) == 101);
  fmq_batch_free(batch);
  fmq_message_free(made);
  fmq_message_free(other);
  fmq_queues *queues;
  OK(fmq_instance_queues(mq, "Batches", &queues));
  int64_t max;
  OK(fmq_instance_max_offset(mq, fmq_queues_at(queues, 0), &max));
  CHECK(max == 3001);
  fmq_queues_free(queues);
}

/* ---- descriptors and wake-ups ---- */

static bool readable(int fd, int timeout_ms) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  return poll(&poll_fd, 1, timeout_ms) == 1;
}

static int drained(fmq_consumer *consumer) {
  int found = 0;
  for (;;) {
    fmq_messages *messages;
    OK(fmq_consumer_poll_at_most(consumer, 3, 0, &messages));
    int count = (int)fmq_messages_count(messages);
    fmq_messages_free(messages);
    CHECK(count <= 3);
    if (count == 0) {
      return found;
    }
    found += count;
  }
}

static void *send_many(void *user_data) {
  fmq_message *made = message("Events", user_data);
  for (int number = 0; number < 2000; number++) {
    OK(fmq_producer_send(producer, made, -1, NULL));
  }
  fmq_message_free(made);
  return NULL;
}

static atomic_int ready;

static void is_ready(void *user_data) {
  atomic_fetch_add((atomic_int *)user_data, 1);
}

static void descriptors(void) {
  OK(fmq_instance_create_topic(mq, "Events", 2));
  fmq_consumer *consumer = reader("events", "Events");
  int fd, again;
  OK(fmq_consumer_fd(consumer, &fd));
  OK(fmq_consumer_fd(consumer, &again));
  CHECK(fd == again);
  drained(consumer);
  CHECK(!readable(fd, 50));
  pthread_t sender;
  char text[] = "event";
  CHECK(pthread_create(&sender, NULL, send_many, text) == 0);
  int found = 0;
  while (found < 2000) {
    CHECK(readable(fd, 60000));
    found += drained(consumer);
  }
  CHECK(pthread_join(sender, NULL) == 0 && found == 2000);
  /* Word of what was taken meanwhile may come a moment later. */
  EVENTUALLY(drained(consumer) == 0 && !readable(fd, 50));
  OK(fmq_consumer_on_ready(consumer, is_ready, &ready, given_back));
  fmq_message *one = message("Events", "one");
  OK(fmq_producer_send(producer, one, -1, NULL));
  fmq_message_free(one);
  EVENTUALLY(atomic_load(&ready) >= 1);
  CHECK(readable(fd, 60000) && drained(consumer) == 1);
  int before = atomic_load(&freed);
  OK(fmq_consumer_on_ready(consumer, is_ready, &ready, given_back));
  EVENTUALLY(atomic_load(&freed) == before + 1);
  OK(fmq_consumer_close(consumer, -1));
  CHECK(atomic_load(&freed) == before + 2);
  CHECK(readable(fd, 60000));
  fmq_messages *none;
  FAILS(FMQ_CLOSED, fmq_consumer_poll(consumer, 0, &none));
  fmq_consumer_free(consumer);
}

static void *wants_descriptor(void *user_data) {
  int fd;
  OK(fmq_consumer_fd(user_data, &fd));
  return NULL;
}

/* Whoever asks first, both are told. */
static void descriptors_and_wake_ups_at_once(void) {
  for (int round = 0; round < 30; round++) {
    fmq_consumer *consumer;
    OK(fmq_consumer_new(mq, NULL, NULL, &consumer));
    OK(fmq_consumer_subscribe(consumer, "Events", "*"));
    OK(fmq_consumer_start(consumer));
    atomic_store(&ready, 0);
    int before = atomic_load(&freed);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, wants_descriptor, consumer) == 0);
    OK(fmq_consumer_on_ready(consumer, is_ready, &ready, given_back));
    CHECK(pthread_join(other, NULL) == 0);
    int fd;
    OK(fmq_consumer_fd(consumer, &fd));
    /* Its end is told to both. */
    OK(fmq_consumer_close(consumer, -1));
    CHECK(atomic_load(&ready) >= 1 && readable(fd, 60000));
    CHECK(atomic_load(&freed) == before + 1);
    fmq_consumer_free(consumer);
  }
}

/* ---- times ---- */

static void take_nothing(const fmq_stored_message *reply, const fmq_error *error, void *user_data) {
  (void)reply;
  (void)user_data;
  CHECK(fmq_error_code(error) == FMQ_CLOSED);
}

/* No time is too long. */
static void times_without_end(void) {
  OK(fmq_instance_create_topic(mq, "Times", 1));
  fmq_instance *own;
  OK(fmq_open(NULL, NULL, &own));
  OK(fmq_instance_create_topic(own, "Times", 1));
  fmq_producer *sender;
  OK(fmq_producer_new(own, "P", NULL, &sender));
  fmq_message *one = message("Times", "one");
  OK(fmq_producer_send(sender, one, INT64_MAX, NULL));
  fmq_send_options *how;
  OK(fmq_send_options_new(&how));
  OK(fmq_send_options_set_timeout(how, INT64_MAX));
  OK(fmq_producer_send_with(sender, one, how, NULL));
  fmq_send_options_free(how);
  OK(fmq_producer_request_callback(sender, one, INT64_MAX, take_nothing, NULL, NULL));
  fmq_consumer *consumer;
  OK(fmq_consumer_new(own, "G", first, &consumer));
  OK(fmq_consumer_subscribe(consumer, "Times", "*"));
  fmq_messages *messages;
  OK(fmq_consumer_poll(consumer, INT64_MAX, &messages));
  CHECK(fmq_messages_count(messages) >= 1);
  fmq_queues *queues;
  OK(fmq_instance_queues(own, "Times", &queues));
  fmq_pulled *pulled;
  OK(fmq_consumer_pull(consumer, fmq_queues_at(queues, 0), "*", 0, UINT32_MAX, INT64_MAX, &pulled));
  CHECK(fmq_pulled_status(pulled) == FMQ_PULL_FOUND);
  fmq_pulled_free(pulled);
  fmq_queues_free(queues);
  fmq_messages_free(messages);
  OK(fmq_consumer_close(consumer, INT64_MAX));
  fmq_consumer_free(consumer);
  OK(fmq_producer_close(sender, 1000));
  fmq_producer_free(sender);
  OK(fmq_instance_close(own, INT64_MAX));
  fmq_instance_free(own);
  fmq_message_free(one);
}

/* ---- pull consumers by hand ---- */

static void by_hand(void) {
  OK(fmq_instance_create_topic(mq, "Hand", 2));
  for (int number = 0; number < 20; number++) {
    fmq_message *made = message("Hand", "x");
    OK(fmq_producer_send(producer, made, -1, NULL));
    fmq_message_free(made);
  }
  fmq_consumer *consumer;
  const char *manual[] = {"autoCommit", "false", "consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", NULL};
  fmq_options *settings = options(manual);
  OK(fmq_consumer_new(mq, "hand", settings, &consumer));
  CHECK(strcmp(fmq_consumer_group(consumer), "hand") == 0);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_start(consumer));
  OK(fmq_consumer_subscribe_sql(consumer, "Hand", "TRUE"));
  OK(fmq_consumer_unsubscribe(consumer, "Hand"));
  OK(fmq_consumer_subscribe(consumer, "Hand", "*"));
  OK(fmq_consumer_start(consumer));
  CHECK(drained(consumer) >= 0);
  fmq_queues *own, *all;
  OK(fmq_consumer_topic_queues(consumer, "Hand", &all));
  CHECK(fmq_queues_count(all) == 2);
  const fmq_queue *queue = fmq_queues_at(all, 0);
  for (;;) {
    OK(fmq_consumer_queues(consumer, &own));
    size_t count = fmq_queues_count(own);
    fmq_queues_free(own);
    if (count == 2) {
      break;
    }
    sleep_ms(5);
  }
  OK(fmq_consumer_seek_to_end(consumer, queue));
  OK(fmq_consumer_seek_to_time(consumer, queue, 0));
  OK(fmq_consumer_seek_to_begin(consumer, queue));
  OK(fmq_consumer_pause(consumer, all));
  CHECK(drained(consumer) == 0);
  OK(fmq_consumer_resume(consumer, all));
  int64_t offset;
  OK(fmq_consumer_offset_for_time(consumer, queue, 0, &offset));
  CHECK(offset == 0);
  OK(fmq_consumer_commit_queue(consumer, queue, 5));
  OK(fmq_consumer_flush(consumer));
  OK(fmq_consumer_committed(consumer, queue, &offset));
  CHECK(offset == 5);
  EVENTUALLY(drained(consumer) + (fmq_consumer_is_caught_up(consumer) ? 1 : 0) > 0);
  OK(fmq_consumer_commit(consumer));
  fmq_consumer_free(consumer);
  OK(fmq_consumer_new(mq, NULL, settings, &consumer));
  CHECK(fmq_consumer_group(consumer) == NULL);
  OK(fmq_consumer_assign(consumer, all));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_subscribe(consumer, "Hand", "*"));
  fmq_messages *messages;
  OK(fmq_consumer_poll(consumer, 60000, &messages));
  CHECK(fmq_messages_count(messages) > 0);
  fmq_messages_free(messages);
  fmq_pulled *pulled;
  OK(fmq_consumer_pull(consumer, queue, "*", 3, 4, 0, &pulled));
  CHECK(fmq_pulled_status(pulled) == FMQ_PULL_FOUND && fmq_pulled_next(pulled) == 7);
  CHECK(fmq_pulled_min(pulled) == 0 && fmq_pulled_max(pulled) == 10);
  CHECK(fmq_messages_count(fmq_pulled_messages(pulled)) == 4);
  CHECK(fmq_stored_message_queue_offset(fmq_messages_at(fmq_pulled_messages(pulled), 0)) == 3);
  fmq_pulled_free(pulled);
  OK(fmq_consumer_pull(consumer, queue, "*", 10, 4, 0, &pulled));
  CHECK(fmq_pulled_status(pulled) == FMQ_PULL_NO_NEW_MESSAGES);
  CHECK(fmq_messages_count(fmq_pulled_messages(pulled)) == 0);
  fmq_pulled_free(pulled);
  fmq_consumer_free(consumer);
  fmq_queues_free(all);
  fmq_options_free(settings);
}

/* ---- push consumers by hand; the listener for one message ---- */

static int32_t one(const fmq_stored_message *stored, const fmq_consume_context *context, void *user_data) {
  CHECK(body_is(stored, "x") && fmq_queue_id(fmq_consume_context_queue(context)) >= 0);
  OK(fmq_consume_context_set_ack_index(context, 0));
  atomic_fetch_add((atomic_int *)user_data, 1);
  return FMQ_SUCCESS;
}

static void push_by_hand(void) {
  static atomic_int heard;
  fmq_push_consumer *consumer;
  OK(fmq_push_consumer_new(mq, "push-hand", first, &consumer));
  CHECK(strcmp(fmq_push_consumer_group(consumer), "push-hand") == 0);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_push_consumer_start(consumer));
  OK(fmq_push_consumer_subscribe(consumer, "Other", "*"));
  OK(fmq_push_consumer_unsubscribe(consumer, "Other"));
  OK(fmq_push_consumer_subscribe_sql(consumer, "Hand", "a IS NULL"));
  OK(fmq_push_consumer_listen_one(consumer, one, &heard, given_back));
  int before = atomic_load(&freed);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_push_consumer_listen_one(consumer, one, &heard, given_back));
  CHECK(atomic_load(&freed) == before + 1);
  OK(fmq_push_consumer_suspend(consumer));
  OK(fmq_push_consumer_start(consumer));
  CHECK(fmq_push_consumer_is_suspended(consumer) && atomic_load(&heard) == 0);
  OK(fmq_push_consumer_update_threads(consumer, 2));
  OK(fmq_push_consumer_resume(consumer));
  EVENTUALLY(atomic_load(&heard) == 20);
  fmq_queues *queues;
  OK(fmq_push_consumer_queues(consumer, &queues));
  CHECK(fmq_queues_count(queues) >= 2);
  fmq_queues_free(queues);
  OK(fmq_push_consumer_close(consumer, -1));
  CHECK(atomic_load(&freed) == before + 2);
  fmq_push_consumer_free(consumer);
}

/* ---- shares as the program says ---- */

static void first_only(const char *group, const char *client_id, const fmq_queues *queues, const char *const *members,
                       size_t count, fmq_queues *own, void *user_data) {
  CHECK(strcmp(group, "shares") == 0 && user_data == &ready);
  CHECK(count == 1 && strcmp(members[0], client_id) == 0);
  CHECK(fmq_queues_count(queues) >= 1);
  OK(fmq_queues_add(own, fmq_queues_at(queues, 0)));
  /* It is lent: that does nothing. */
  fmq_queues_free(own);
  CHECK(fmq_queues_count(own) == 1);
}

static void shares(void) {
  int before = atomic_load(&freed);
  fmq_consumer *consumer = reader("shares", "Hand");
  OK(fmq_consumer_allocate_by(consumer, first_only, &ready, given_back));
  OK(fmq_consumer_start(consumer));
  for (size_t count = 0; count != 1;) {
    fmq_queues *own;
    OK(fmq_consumer_queues(consumer, &own));
    count = fmq_queues_count(own);
    CHECK(count <= 1);
    fmq_queues_free(own);
  }
  fmq_consumer_free(consumer);
  EVENTUALLY(atomic_load(&freed) == before + 1);
  fmq_push_consumer *push;
  OK(fmq_push_consumer_new(mq, "shares", NULL, &push));
  OK(fmq_push_consumer_allocate_by(push, first_only, &ready, given_back));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_push_consumer_allocate_by(push, NULL, &ready, given_back));
  fmq_push_consumer_free(push);
  EVENTUALLY(atomic_load(&freed) == before + 3);
}

/* ---- request and reply ---- */

static int32_t answer(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)context;
  OK(fmq_producer_reply(user_data, fmq_messages_at(messages, 0), "42", 2, NULL));
  return FMQ_SUCCESS;
}

static void take_reply(const fmq_stored_message *reply, const fmq_error *error, void *user_data) {
  CHECK(error == NULL && body_is(reply, "42"));
  atomic_fetch_add((atomic_int *)user_data, 1);
}

static void requests(void) {
  OK(fmq_instance_create_topic(mq, "Questions", 1));
  fmq_push_consumer *consumer;
  OK(fmq_push_consumer_new(mq, "answers", first, &consumer));
  OK(fmq_push_consumer_subscribe(consumer, "Questions", "*"));
  OK(fmq_push_consumer_listen(consumer, answer, producer, NULL));
  OK(fmq_push_consumer_start(consumer));
  fmq_message *question = message("Questions", "what?");
  fmq_stored_message *reply;
  OK(fmq_producer_request(producer, question, 60000, &reply));
  CHECK(body_is(reply, "42"));
  fmq_stored_message_free(reply);
  static atomic_int replies;
  OK(fmq_producer_request_callback(producer, question, 60000, take_reply, &replies, NULL));
  EVENTUALLY(atomic_load(&replies) == 1);
  fmq_push_consumer_free(consumer);
  fmq_message *nobody = message("Things", "anybody?");
  FAILS(FMQ_TIMEOUT, fmq_producer_request(producer, nobody, 50, &reply));
  CHECK(reply == NULL);
  fmq_message_free(nobody);
  fmq_message_free(question);
}

/* ---- for operators ---- */

static void expect_json(fmq_error *error, char *json, const char *part) {
  OK(error);
  if (strstr(json, part) == NULL) {
    fprintf(stderr, "no %s in %s\n", part, json);
    abort();
  }
  fmq_string_free(json);
}

#define ADMIN(part, call, ...)                             \
  do {                                                     \
    char *json;                                            \
    fmq_error *error = call(mq, __VA_ARGS__);              \
    expect_json(error, json, part);                        \
  } while (0)

static void operators(void) {
  ADMIN("\"Hand\"", fmq_admin_topics, &json);
  ADMIN("\"SCHEDULE_TOPIC_XXXX\"", fmq_admin_all_topics, &json);
  ADMIN("\"maxOffset\":10", fmq_admin_topic, "Hand", &json);
  ADMIN("\"hand\"", fmq_admin_groups, &json);
  ADMIN("\"consumerOffset\":", fmq_admin_progress, "hand", &json);
  ADMIN("\"offset\":0", fmq_admin_reset_offsets, "hand", "Hand", FMQ_BEGIN, &json);
  ADMIN("\"offset\":10", fmq_admin_reset_offsets, "hand", "Hand", FMQ_END, &json);
  ADMIN("\"brokerName\"", fmq_admin_cluster, &json);
  fmq_consumer *consumer = reader("present", "Hand");
  OK(fmq_consumer_start(consumer));
  ADMIN("\"clientId\"", fmq_admin_members, "present", &json);
  fmq_consumer_free(consumer);
  const char *of_topic[] = {"readQueueNums", "3", "writeQueueNums", "3", "perm", "6", "order", "false", NULL};
  fmq_options *settings = options(of_topic);
  OK(fmq_admin_create_topic(mq, "Made", settings));
  ADMIN("\"topic\":\"Made\"", fmq_admin_topic, "Made", &json);
  OK(fmq_options_set(settings, "perm", "x"));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_admin_create_topic(mq, "Made", settings));
  fmq_options_free(settings);
  OK(fmq_admin_delete_topic(mq, "Made"));
  OK(fmq_admin_delete_group(mq, "hand"));
  char *json = NULL;
  FAILS(FMQ_INVALID_ARGUMENT, fmq_admin_reset_offsets(mq, "hand", "Hand", -9, &json));
  CHECK(json == NULL);
  fmq_error *refused = fmq_instance_set_filter_function(mq, "Hand", "hand", "nothing", "x", 1);
  CHECK(fmq_error_code(refused) == FMQ_REMOTE && fmq_error_response_code(refused) > 0);
  fmq_error_free(refused);
}

/* ---- settings that are wrong, with the nearest right one ---- */

static void wrong_settings(void) {
  const char *misspelt[] = {"sendMsgTimeot", "1", NULL};
  fmq_options *settings = options(misspelt);
  fmq_producer *none;
  fmq_error *error = fmq_producer_new(mq, "P", settings, &none);
  CHECK(fmq_error_code(error) == FMQ_INVALID_ARGUMENT && strstr(fmq_error_message(error), "sendMsgTimeout") != NULL);
  CHECK(strcmp(fmq_error_name(error), "InvalidArgument") == 0 && none == NULL);
  CHECK(fmq_error_topic(error) == NULL && fmq_error_message_id(error) == NULL && fmq_error_broker(error) == NULL);
  fmq_error_free(error);
  fmq_options_free(settings);
}

/* ---- a send that fails says which ---- */

static void failed_sends(void) {
  fmq_instance *nowhere;
  OK(fmq_connect("127.0.0.1:9", NULL, &nowhere));
  CHECK(strcmp(fmq_instance_name_servers(nowhere), "127.0.0.1:9") == 0);
  CHECK(strchr(fmq_instance_client_id(nowhere), '@') != NULL);
  fmq_producer *lost;
  OK(fmq_producer_new(nowhere, "P", NULL, &lost));
  fmq_message *made = message("Things", "x");
  fmq_error *error = fmq_producer_send(lost, made, 300, NULL);
  CHECK(fmq_error_is_retriable(error) && strcmp(fmq_error_topic(error), "Things") == 0);
  CHECK(fmq_error_message_id(error)[0] != '\0' && fmq_error_broker(error) == NULL);
  CHECK(fmq_error_attempts(error) < 1000 && fmq_error_response_code(error) == -1);
  fmq_error_free(error);
  fmq_message_free(made);
  fmq_producer_free(lost);
  fmq_instance_free(nowhere);
}

/* ---- servers by themselves ---- */

static void servers(void) {
  fmq_server *namesrv, *broker;
  char directory[] = "/tmp/ferromq-c-XXXXXX", path[64];
  CHECK(mkdtemp(directory) != NULL);
  snprintf(path, sizeof path, "%s/kv.json", directory);
  const char *of_namesrv[] = {"listenPort", "0", "bindAddress", "127.0.0.1", "kvConfigPath", path, NULL};
  fmq_options *settings = options(of_namesrv);
  OK(fmq_server_start_namesrv(settings, &namesrv));
  fmq_options_free(settings);
  uint16_t name_server_port, broker_port;
  OK(fmq_server_ports(namesrv, &name_server_port, NULL));
  CHECK(name_server_port != 0);
  const char *of_broker[] = {"listenPort", "0", "bindAddress", "127.0.0.1", "brokerIP1", "127.0.0.1",
                             "storePathRootDir", directory, "namesrvAddr", fmq_server_name_servers(namesrv), NULL};
  settings = options(of_broker);
  OK(fmq_server_start_broker(settings, &broker));
  fmq_options_free(settings);
  OK(fmq_server_ports(broker, NULL, &broker_port));
  CHECK(broker_port != 0);
  fmq_instance *client;
  OK(fmq_connect(fmq_server_name_servers(namesrv), NULL, &client));
  fmq_error *error;
  EVENTUALLY((error = fmq_instance_create_topic(client, "T", 1), fmq_error_free(error), error == NULL));
  fmq_instance_free(client);
  OK(fmq_server_stop(broker, -1));
  OK(fmq_server_stop(broker, -1));
  fmq_server_free(broker);
  fmq_server_free(broker);
  fmq_server_free(namesrv);
  char command[64];
  snprintf(command, sizeof command, "rm -rf %s", directory);
  CHECK(system(command) == 0);
}

/* ---- the log ---- */

static atomic_int lines;

static void note(int32_t level, const char *part, const char *text, void *user_data) {
  CHECK(level >= FMQ_LOG_ERROR && level <= FMQ_LOG_DEBUG && user_data == &lines);
  CHECK(strncmp(part, "ferromq", 7) == 0 && text[0] != '\0');
  atomic_fetch_add(&lines, 1);
  /* What this call says is dropped, or it would never end. */
  CHECK(fmq_queue_topic(NULL) == NULL);
}

static void logs(void) {
  OK(fmq_log_set(FMQ_LOG_DEBUG, note, &lines, given_back));
  CHECK(fmq_queue_topic(NULL) == NULL);
  CHECK(atomic_load(&lines) >= 1);
  int before = atomic_load(&freed);
  OK(fmq_log_set(FMQ_LOG_OFF, NULL, NULL, NULL));
  EVENTUALLY(atomic_load(&freed) == before + 1);
  int silent = atomic_load(&lines);
  CHECK(fmq_queue_topic(NULL) == NULL);
  CHECK(atomic_load(&lines) == silent);
}

int main(void) {
  const char *from_first[] = {"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", NULL};
  first = options(from_first);
  OK(fmq_open(NULL, NULL, &mq));
  OK(fmq_producer_new(mq, "P", NULL, &producer));
  messages_are_what_was_set();
  sends_choose_their_queue();
  batches();
  descriptors();
  descriptors_and_wake_ups_at_once();
  times_without_end();
  by_hand();
  push_by_hand();
  shares();
  requests();
  operators();
  wrong_settings();
  failed_sends();
  servers();
  logs();
  OK(fmq_producer_close(producer, 1000));
  fmq_producer_free(producer);
  fmq_instance_free(mq);
  fmq_options_free(first);
  puts("ok");
  return 0;
}
