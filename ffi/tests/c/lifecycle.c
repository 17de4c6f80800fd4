/*
 * Ends of everything, in every order: with NULL, twice, by the wrong function, from inside callbacks, while other threads
 * are in calls, parents before children. And what is left after many lives: `lifecycle CYCLES`.
 */
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

static const char *const FIRST[] = {"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", NULL};

static fmq_instance *opened(void) {
  fmq_instance *mq;
  OK(fmq_open(NULL, NULL, &mq));
  OK(fmq_instance_create_topic(mq, "T", 2));
  return mq;
}

static fmq_producer *producer_of(fmq_instance *mq) {
  fmq_producer *made;
  OK(fmq_producer_new(mq, "P", NULL, &made));
  return made;
}

static void send_to(fmq_producer *producer, const char *body) {
  fmq_message *made = message("T", body);
  OK(fmq_producer_send(producer, made, -1, NULL));
  fmq_message_free(made);
}

/* ---- NULL ---- */

static void null_is_fine(void) {
  fmq_error_free(NULL);
  fmq_options_free(NULL);
  fmq_message_free(NULL);
  fmq_batch_free(NULL);
  fmq_stored_message_free(NULL);
  fmq_messages_free(NULL);
  fmq_queue_free(NULL);
  fmq_queues_free(NULL);
  fmq_sent_free(NULL);
  fmq_send_options_free(NULL);
  fmq_string_free(NULL);
  fmq_instance_free(NULL);
  fmq_producer_free(NULL);
  fmq_transaction_producer_free(NULL);
  fmq_push_consumer_free(NULL);
  fmq_consumer_free(NULL);
  fmq_server_free(NULL);
  CHECK(fmq_error_code(NULL) == FMQ_OK && strcmp(fmq_error_name(NULL), "Ok") == 0);
  CHECK(fmq_error_message(NULL)[0] == '\0' && !fmq_error_is_retriable(NULL) && fmq_error_attempts(NULL) == 0);
  CHECK(fmq_error_response_code(NULL) == -1 && fmq_error_topic(NULL) == NULL);
  CHECK(fmq_messages_count(NULL) == 0 && fmq_messages_at(NULL, 0) == NULL);
  CHECK(fmq_queues_count(NULL) == 0 && fmq_queues_at(NULL, 0) == NULL);
  CHECK(fmq_queue_topic(NULL) == NULL && fmq_queue_id(NULL) == -1 && !fmq_queue_equals(NULL, NULL));
  CHECK(fmq_stored_message_topic(NULL) == NULL && fmq_stored_message_queue_offset(NULL) == -1);
  CHECK(fmq_stored_message_body(NULL, NULL) == NULL && fmq_message_body(NULL, NULL) == NULL);
  CHECK(fmq_sent_status(NULL) == -1 && fmq_sent_line(NULL) == NULL && fmq_sent_queue(NULL) == NULL);
  CHECK(fmq_instance_client_id(NULL) == NULL && !fmq_instance_listening(NULL, NULL, NULL));
  CHECK(fmq_producer_group(NULL) == NULL && fmq_producer_sends_in_flight(NULL) == 0);
  CHECK(!fmq_push_consumer_is_suspended(NULL) && !fmq_consumer_is_caught_up(NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_open(NULL, NULL, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_options_new(NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_options_set(NULL, "a", "b"));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_set_tag(NULL, "a"));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send(NULL, NULL, 0, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send_callback(NULL, NULL, NULL, NULL, NULL, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_poll(NULL, 0, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_instance_close(NULL, 0));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_log_set(9, NULL, NULL, NULL));
  fmq_message *none = (fmq_message *)1;
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_new(NULL, NULL, 0, &none));
  CHECK(none == NULL);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_new("T", NULL, 1, &none));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_new("\xff", NULL, 0, &none));
}

/* ---- twice, and by the wrong function ---- */

static void twice_and_of_another_type(void) {
  fmq_instance *mq = opened();
  fmq_producer *producer = producer_of(mq);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_poll((fmq_consumer *)producer, 0, &(fmq_messages *){NULL}));
  fmq_consumer_free((fmq_consumer *)producer);
  fmq_instance_free((fmq_instance *)producer);
  send_to(producer, "still there");
  fmq_message *made = message("T", "x");
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send((fmq_producer *)made, made, -1, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send(producer, (fmq_message *)producer, -1, NULL));
  fmq_options_free((fmq_options *)made);
  fmq_producer_free((fmq_producer *)made);
  OK(fmq_producer_send(producer, made, -1, NULL));
  fmq_producer_free(producer);
  fmq_producer_free(producer);
  FAILS(FMQ_CLOSED, fmq_producer_send(producer, made, -1, NULL));
  CHECK(fmq_producer_group(producer) == NULL);
  fmq_message_free(made);
  OK(fmq_instance_close(mq, -1));
  OK(fmq_instance_close(mq, -1));
  fmq_instance_free(mq);
  fmq_instance_free(mq);
  FAILS(FMQ_CLOSED, fmq_instance_close(mq, -1));
}

/* ---- from inside ---- */

typedef struct {
  fmq_instance *mq;
  fmq_producer *producer;
  fmq_push_consumer *consumer;
  fmq_consumer *pull;
  atomic_int calls, freed;
  int what;
} everything;

static void given_back(void *user_data) {
  atomic_fetch_add(&((everything *)user_data)->freed, 1);
}

static void end(everything *all) {
  atomic_fetch_add(&all->calls, 1);
  switch (all->what) {
    case 0: fmq_push_consumer_free(all->consumer); break;
    case 1: fmq_producer_free(all->producer); break;
    case 2: fmq_consumer_free(all->pull); break;
    case 3: fmq_instance_free(all->mq); break;
    case 4: OK(fmq_instance_close(all->mq, 0)); break;
    default:
      fmq_push_consumer_free(all->consumer);
      fmq_push_consumer_free(all->consumer);
      fmq_producer_free(all->producer);
      fmq_consumer_free(all->pull);
      fmq_instance_free(all->mq);
  }
}

static int32_t ends_in_listener(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  end(user_data);
  /* What was lent for the call is still there. */
  CHECK(fmq_messages_count(messages) == 1 && body_is(fmq_messages_at(messages, 0), "one"));
  CHECK(fmq_queue_id(fmq_consume_context_queue(context)) >= 0);
  fmq_messages_free((fmq_messages *)(uintptr_t)messages);
  fmq_stored_message_free((fmq_stored_message *)(uintptr_t)fmq_messages_at(messages, 0));
  CHECK(body_is(fmq_messages_at(messages, 0), "one"));
  return FMQ_SUCCESS;
}

static int32_t in_order(const fmq_messages *messages, const fmq_orderly_context *context, void *user_data) {
  end(user_data);
  CHECK(fmq_messages_count(messages) == 1 && fmq_queue_id(fmq_orderly_context_queue(context)) >= 0);
  return FMQ_SUCCESS;
}

static void ends_in_send_callback(const fmq_sent *sent, const fmq_error *error, void *user_data) {
  end(user_data);
  CHECK(error == NULL && fmq_sent_queue_offset(sent) == 0);
  fmq_sent_free((fmq_sent *)(uintptr_t)sent);
  CHECK(fmq_sent_line(sent) != NULL);
}

static void ends_when_ready(void *user_data) {
  everything *all = user_data;
  if (atomic_load(&all->calls) == 0) {
    end(all);
  }
}

static void from_inside(int callback, int what) {
  /* Callbacks may run until everything is freed: after the last call below. */
  everything *all = calloc(1, sizeof *all);
  CHECK(all != NULL);
  all->what = what;
  all->mq = opened();
  all->producer = producer_of(all->mq);
  fmq_options *first = options(FIRST);
  OK(fmq_push_consumer_new(all->mq, "G", first, &all->consumer));
  OK(fmq_consumer_new(all->mq, "H", first, &all->pull));
  fmq_options_free(first);
  OK(fmq_push_consumer_subscribe(all->consumer, "T", "*"));
  OK(fmq_consumer_subscribe(all->pull, "T", "*"));
  if (callback == 0) {
    OK(fmq_push_consumer_listen(all->consumer, ends_in_listener, all, given_back));
    OK(fmq_push_consumer_start(all->consumer));
  } else if (callback == 1) {
    OK(fmq_push_consumer_listen_orderly(all->consumer, in_order, all, given_back));
    OK(fmq_push_consumer_start(all->consumer));
  } else if (callback == 2) {
    OK(fmq_consumer_on_ready(all->pull, ends_when_ready, all, given_back));
  }
  fmq_producer *other;
  OK(fmq_producer_new(all->mq, "Q", NULL, &other));
  fmq_message *one = message("T", "one");
  if (callback == 3) {
    OK(fmq_producer_send_callback(all->producer, one, NULL, ends_in_send_callback, all, given_back));
  } else {
    fmq_error_free(fmq_producer_send(other, one, -1, NULL));
  }
  fmq_message_free(one);
  EVENTUALLY(atomic_load(&all->calls) >= 1);
  fmq_push_consumer_free(all->consumer);
  fmq_producer_free(other);
  fmq_producer_free(all->producer);
  fmq_consumer_free(all->pull);
  fmq_instance_free(all->mq);
  EVENTUALLY(atomic_load(&all->freed) == 1);
  /* The thread of the callback may just be leaving what told us. */
  sleep_ms(2);
  CHECK(atomic_load(&all->freed) == 1);
  free(all);
}

/* ---- while other threads are inside ---- */

static void *sends(void *user_data) {
  everything *all = user_data;
  fmq_message *made = message("T", "busy");
  for (;;) {
    fmq_error *error = fmq_producer_send(all->producer, made, -1, NULL);
    int32_t code = fmq_error_code(error);
    fmq_error_free(error);
    if (code == FMQ_CLOSED) {
      break;
    }
    CHECK(code == FMQ_OK);
    atomic_fetch_add(&all->calls, 1);
  }
  fmq_message_free(made);
  return NULL;
}

static void *polls(void *user_data) {
  everything *all = user_data;
  for (;;) {
    fmq_messages *messages;
    fmq_error *error = fmq_consumer_poll(all->pull, -1, &messages);
    int32_t code = fmq_error_code(error);
    fmq_error_free(error);
    fmq_messages_free(messages);
    if (code == FMQ_CLOSED) {
      return NULL;
    }
    CHECK(code == FMQ_OK);
  }
}

static int32_t slow(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)messages;
  (void)context;
  CHECK(atomic_load(&((everything *)user_data)->freed) == 0);
  sleep_ms(1);
  CHECK(atomic_load(&((everything *)user_data)->freed) == 0);
  return FMQ_SUCCESS;
}

static void *frees(void *user_data) {
  everything *all = user_data;
  if (all->what != 0) {
    fmq_instance_free(all->mq);
  }
  fmq_producer_free(all->producer);
  fmq_push_consumer_free(all->consumer);
  fmq_consumer_free(all->pull);
  fmq_instance_free(all->mq);
  return NULL;
}

static void while_threads_are_inside(int what) {
  everything all = {.what = what};
  all.mq = opened();
  all.producer = producer_of(all.mq);
  fmq_options *first = options(FIRST);
  OK(fmq_push_consumer_new(all.mq, "G", first, &all.consumer));
  OK(fmq_push_consumer_subscribe(all.consumer, "T", "*"));
  OK(fmq_push_consumer_listen(all.consumer, slow, &all, given_back));
  OK(fmq_push_consumer_start(all.consumer));
  OK(fmq_consumer_new(all.mq, "H", first, &all.pull));
  OK(fmq_consumer_subscribe(all.pull, "T", "*"));
  fmq_options_free(first);
  pthread_t threads[6];
  for (int at = 0; at < 2; at++) {
    CHECK(pthread_create(&threads[at], NULL, sends, &all) == 0);
    CHECK(pthread_create(&threads[2 + at], NULL, polls, &all) == 0);
  }
  EVENTUALLY(atomic_load(&all.calls) > 50);
  for (int at = 4; at < 6; at++) {
    CHECK(pthread_create(&threads[at], NULL, frees, &all) == 0);
  }
  for (int at = 0; at < 6; at++) {
    CHECK(pthread_join(threads[at], NULL) == 0);
  }
  EVENTUALLY(atomic_load(&all.freed) == 1);
}

/* ---- children after their parent ---- */

static void children_outlive_their_parent(void) {
  fmq_instance *mq = opened();
  fmq_producer *producer = producer_of(mq);
  send_to(producer, "x");
  fmq_consumer *pull;
  fmq_options *first = options(FIRST);
  OK(fmq_consumer_new(mq, "H", first, &pull));
  fmq_options_free(first);
  OK(fmq_consumer_subscribe(pull, "T", "*"));
  fmq_messages *kept, *none;
  OK(fmq_consumer_poll(pull, 60000, &kept));
  fmq_instance_free(mq);
  CHECK(fmq_messages_count(kept) == 1 && body_is(fmq_messages_at(kept, 0), "x"));
  fmq_messages_free(kept);
  CHECK(strcmp(fmq_producer_group(producer), "P") == 0);
  fmq_message *late = message("T", "late");
  FAILS(FMQ_CLOSED, fmq_producer_send(producer, late, -1, NULL));
  fmq_message_free(late);
  FAILS(FMQ_CLOSED, fmq_consumer_poll(pull, -1, &none));
  FAILS(FMQ_CLOSED, fmq_producer_new(mq, "Z", NULL, &(fmq_producer *){NULL}));
  fmq_consumer_free(pull);
  fmq_producer_free(producer);
}

/* ---- outputs are set to NULL or 0 whatever fails ---- */

static void outputs_are_cleared(void) {
  fmq_instance *mq = opened();
  fmq_consumer *pull;
  OK(fmq_consumer_new(mq, "H", NULL, &pull));
  fmq_push_consumer *push;
  OK(fmq_push_consumer_new(mq, "G", NULL, &push));
  fmq_producer *producer = producer_of(mq);
  fmq_instance_free(mq);
  fmq_consumer_free(pull);
  fmq_push_consumer_free(push);
  fmq_producer_free(producer);
  void *some = &mq;
#define CLEARED(type, call)                                     \
  do {                                                          \
    type *out = some;                                           \
    FAILS(FMQ_CLOSED, call);                                    \
    CHECK(out == NULL);                                         \
  } while (0)
  CLEARED(fmq_queues, fmq_instance_queues(mq, "T", &out));
  CLEARED(fmq_stored_message, fmq_instance_message_by_id(mq, "x", &out));
  CLEARED(fmq_messages, fmq_instance_messages_by_key(mq, "T", "k", 1, 0, 0, &out));
  CLEARED(fmq_producer, fmq_producer_new(mq, "P", NULL, &out));
  CLEARED(fmq_consumer, fmq_consumer_new(mq, "P", NULL, &out));
  CLEARED(fmq_push_consumer, fmq_push_consumer_new(mq, "P", NULL, &out));
  CLEARED(fmq_queues, fmq_producer_queues(producer, "T", &out));
  CLEARED(fmq_queues, fmq_push_consumer_queues(push, &out));
  CLEARED(fmq_queues, fmq_consumer_queues(pull, &out));
  CLEARED(fmq_queues, fmq_consumer_topic_queues(pull, "T", &out));
  CLEARED(fmq_messages, fmq_consumer_poll(pull, 0, &out));
  CLEARED(fmq_messages, fmq_consumer_poll_at_most(pull, 1, 0, &out));
  CLEARED(char, fmq_admin_topics(mq, &out));
  fmq_queue *queue;
  OK(fmq_queue_new("T", "b", 0, &queue));
  int64_t offset = 7;
  FAILS(FMQ_CLOSED, fmq_instance_max_offset(mq, queue, &offset));
  CHECK(offset == 0);
  fmq_queue_free(queue);
}

/* ---- user data of calls that fail comes back at once ---- */

static void user_data_comes_back(void) {
  everything all = {0};
  OK(fmq_log_set(FMQ_LOG_ERROR, NULL, &all, given_back));
  CHECK(all.freed == 1);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_producer_send_callback(NULL, NULL, NULL, ends_in_send_callback, &all, given_back));
  CHECK(all.freed == 2);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_push_consumer_listen(NULL, slow, &all, given_back));
  CHECK(all.freed == 3);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_consumer_on_ready(NULL, ends_when_ready, &all, given_back));
  CHECK(all.freed == 4);
  fmq_transaction_producer *none;
  FAILS(FMQ_INVALID_ARGUMENT,
        fmq_transaction_producer_new(NULL, "P", NULL, NULL, NULL, &all, given_back, &none));
  CHECK(all.freed == 5 && none == NULL);
}

/* ---- what is left after many lives ---- */

static int entries(const char *directory) {
  DIR *open = opendir(directory);
  CHECK(open != NULL);
  int found = 0;
  while (readdir(open) != NULL) {
    found += 1;
  }
  closedir(open);
  return found;
}

static void one_life(bool with_server, int number) {
  static fmq_instance *shared;
  if (with_server || shared == NULL) {
    fmq_instance_free(shared);
    shared = opened();
  }
  fmq_producer *producer = producer_of(shared);
  fmq_consumer *pull;
  char group[32];
  snprintf(group, sizeof group, "H%d", number % 7);
  OK(fmq_consumer_new(shared, group, NULL, &pull));
  int fd = -1;
  if (number % 5 == 0) {
    OK(fmq_consumer_subscribe(pull, "T", "*"));
    OK(fmq_consumer_fd(pull, &fd));
    CHECK(fd >= 0);
  }
  send_to(producer, "life");
  fmq_message *made = message("T", "x");
  fmq_error *error = fmq_message_set_property(made, "KEYS", "x");
  CHECK(error != NULL);
  fmq_error_free(error);
  fmq_message_free(made);
  fmq_consumer_free(pull);
  fmq_producer_free(producer);
  if (number < 0) {
    fmq_instance_free(shared);
    shared = NULL;
  }
}

/* Servers take longer: one lives as long as so many producers and consumers. */
static void many_lives(int cycles, int lives_a_server) {
  int warm = cycles / 4 + 20;
  size_t memory = 0;
  int threads = 0, descriptors = 0;
  for (int number = 0; number < cycles + warm; number++) {
    one_life(number % lives_a_server == 0, number);
    if (number == warm) {
      one_life(true, -1);
      EVENTUALLY(entries("/proc/self/task") <= 4);
      threads = entries("/proc/self/task");
      descriptors = entries("/proc/self/fd");
      memory = mallinfo2().uordblks;
    }
  }
  one_life(true, -1);
  EVENTUALLY(entries("/proc/self/task") <= threads);
  CHECK(entries("/proc/self/fd") <= descriptors);
  size_t now = mallinfo2().uordblks;
  printf("%d lives: %d threads and %d descriptors before, %d and %d after; memory %zu KiB before, %zu after\n", cycles,
         threads - 2, descriptors - 3, entries("/proc/self/task") - 2, entries("/proc/self/fd") - 3, memory / 1024,
         now / 1024);
  /* What grows with each life, if only by 64 bytes, is seen with 10,000 of them; less is noise. */
  CHECK(now < memory + 512 * 1024);
}

int main(int arguments, char **argument) {
  null_is_fine();
  twice_and_of_another_type();
  for (int callback = 0; callback < 4; callback++) {
    for (int what = 0; what < 6; what++) {
      from_inside(callback, what);
    }
  }
  while_threads_are_inside(0);
  while_threads_are_inside(1);
  children_outlive_their_parent();
  outputs_are_cleared();
  user_data_comes_back();
  if (arguments > 1) {
    many_lives(atoi(argument[1]), arguments > 2 ? atoi(argument[2]) : 20);
  }
  puts("ok");
  return 0;
}
