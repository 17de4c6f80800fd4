/*
 * How fast the library is through C, in this process: bench DIRECTORY SECONDS. Opens the directory with default options, runs
 * each case for about SECONDS, and prints a line a case: its name, a tab, messages a second.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ferromq.h"

static fmq_instance *mq;
static fmq_producer *producer;
static fmq_options *from_first;
static double seconds;

static void check(fmq_error *error) {
  if (error != NULL) {
    fprintf(stderr, "%s: %s\n", fmq_error_name(error), fmq_error_message(error));
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void print(const char *name, double count, double took) {
  printf("%s\t%.0f\n", name, count / took);
  fflush(stdout);
}

/* Sends bodies of a size, `together` at a time. */
static void put(const char *name, const char *topic, size_t size, int together) {
  char *body = malloc(size);
  memset(body, 'x', size);
  double begun = now(), count = 0;
  while (now() - begun < seconds) {
    /* Time is asked for once in a while only. */
    for (int round = 0; round < (together == 1 ? 100 : 1); round++) {
      if (together == 1) {
        fmq_message *message;
        check(fmq_message_new(topic, body, size, &message));
        check(fmq_producer_send(producer, message, -1, NULL));
        fmq_message_free(message);
      } else {
        fmq_batch *batch;
        check(fmq_batch_new(&batch));
        for (int at = 0; at < together; at++) {
          check(fmq_batch_add_body(batch, topic, body, size));
        }
        check(fmq_producer_send_batch(producer, batch, NULL, NULL));
        fmq_batch_free(batch);
      }
      count += together;
    }
  }
  print(name, count, now() - begun);
  free(body);
}

/* How many messages a topic of one queue has. */
static double stored(const char *topic) {
  fmq_queues *queues;
  int64_t end;
  check(fmq_instance_queues(mq, topic, &queues));
  check(fmq_instance_max_offset(mq, fmq_queues_at(queues, 0), &end));
  fmq_queues_free(queues);
  return (double)end;
}

/* Polls what is there, and looks at each body. */
static void get(const char *name, const char *topic) {
  fmq_consumer *consumer;
  check(fmq_consumer_new(mq, name, from_first, &consumer));
  check(fmq_consumer_subscribe(consumer, topic, "*"));
  double there = stored(topic), begun = 0, first = 0, count = 0;
  size_t bytes = 0;
  while (begun == 0 || (now() - begun < seconds && first + count < there)) {
    fmq_messages *messages;
    check(fmq_consumer_poll(consumer, 60000, &messages));
    size_t found = fmq_messages_count(messages);
    if (begun == 0) {
      /* What comes first waits for the group to be joined. */
      begun = now();
      first = (double)found;
    } else {
      count += (double)found;
    }
    for (size_t at = 0; at < found; at++) {
      size_t length;
      fmq_stored_message_body(fmq_messages_at(messages, at), &length);
      bytes += length;
    }
    fmq_messages_free(messages);
  }
  if (bytes > 0) {
    print(name, count, now() - begun);
  }
  fmq_consumer_free(consumer);
}

static atomic_long heard;

static int32_t hear(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  atomic_fetch_add(&heard, (long)fmq_messages_count(messages));
  return FMQ_SUCCESS;
}

static void listen_to(const char *name, const char *topic) {
  fmq_push_consumer *consumer;
  check(fmq_options_set(from_first, "consumeMessageBatchMaxSize", "32"));
  check(fmq_push_consumer_new(mq, name, from_first, &consumer));
  check(fmq_push_consumer_subscribe(consumer, topic, "*"));
  check(fmq_push_consumer_listen(consumer, hear, NULL, NULL));
  check(fmq_push_consumer_start(consumer));
  const struct timespec pause = {0, 1000000};
  while (atomic_load(&heard) == 0) {
    nanosleep(&pause, NULL);
  }
  double begun = now();
  long first = atomic_load(&heard), last = first, before;
  double ended = begun;
  do {
    before = last;
    for (int ms = 0; ms < 100 && now() - begun < seconds; ms++) {
      nanosleep(&pause, NULL);
    }
    last = atomic_load(&heard);
    if (last != before) {
      ended = now();
    }
  } while (last != before && now() - begun < seconds);
  print(name, (double)(last - first), ended - begun);
  fmq_push_consumer_free(consumer);
}

int main(int arguments, char **argument) {
  if (arguments != 3) {
    fprintf(stderr, "bench DIRECTORY SECONDS\n");
    return 2;
  }
  seconds = atof(argument[2]);
  check(fmq_open(argument[1], NULL, &mq));
  check(fmq_options_new(&from_first));
  check(fmq_options_set(from_first, "consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"));
  check(fmq_producer_new(mq, "bench", NULL, &producer));
  check(fmq_instance_create_topic(mq, "bench-128", 1));
  check(fmq_instance_create_topic(mq, "bench-1k", 1));
  /* In the order of the other languages: what was written just now is in memory. */
  put("put-128-1", "bench-128", 128, 1);
  put("put-128-100", "bench-128", 128, 100);
  get("get-128", "bench-128");
  put("put-1k-1", "bench-1k", 1024, 1);
  put("put-1k-100", "bench-1k", 1024, 100);
  get("get-1k", "bench-1k");
  listen_to("listen-1k", "bench-1k");
  fmq_options_free(from_first);
  fmq_producer_free(producer);
  fmq_instance_free(mq);
  return 0;
}
