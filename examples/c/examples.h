/*
 * What the programs share. Each is complete in its file otherwise:
 *
 *     cc -std=c11 quickstart.c $(pkg-config --cflags --libs ferromq) -pthread -o quickstart
 *     ./quickstart                      # everything in this process, in memory
 *     ./quickstart ./data               # the same, kept in a directory
 *     ./quickstart 127.0.0.1:9876       # a cluster, FerroMQ's or Apache's
 */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include <ferromq.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long the programs wait for messages that are sure to come, s. */
enum { PATIENCE = 60 };

/* Ends the program with the error, if it is one. */
static inline void check(fmq_error *error) {
  if (error != NULL) {
    fprintf(stderr, "%s: %s\n", fmq_error_name(error), fmq_error_message(error));
    exit(1);
  }
}

/* What the environment says, or something else. */
static inline const char *from_environment(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value != NULL && *value != '\0' ? value : otherwise;
}

/* The settings of a server in this process: FERROMQ_OPTIONS holds them as key=value, separated by semicolons. */
static inline fmq_options *server_options(void) {
  fmq_options *settings;
  check(fmq_options_new(&settings));
  char text[1024];
  snprintf(text, sizeof text, "%s", from_environment("FERROMQ_OPTIONS", ""));
  for (char *pair = strtok(text, ";"); pair != NULL; pair = strtok(NULL, ";")) {
    char *equals = strchr(pair, '=');
    if (equals != NULL) {
      *equals = '\0';
      check(fmq_options_set(settings, pair, equals + 1));
    }
  }
  return settings;
}

/*
 * Where messages go: to the cluster whose name servers the first argument is (host:port) or NAMESRV_ADDR, into the
 * directory that the argument is, or into memory.
 */
static inline fmq_instance *instance(int count, char **arguments) {
  const char *place = count > 1 ? arguments[1] : from_environment("NAMESRV_ADDR", NULL);
  fmq_instance *mq;
  if (place != NULL && strchr(place, ':') != NULL) {
    check(fmq_connect(place, NULL, &mq));
    return mq;
  }
  fmq_options *settings = server_options();
  check(fmq_open(place, settings, &mq));
  fmq_options_free(settings);
  return mq;
}

/* A producer of the group that PRODUCER_GROUP says, or of this one. */
static inline fmq_producer *producer_of(fmq_instance *mq, const char *group) {
  fmq_producer *made;
  check(fmq_producer_new(mq, from_environment("PRODUCER_GROUP", group), NULL, &made));
  return made;
}

/* A message with a text as its body. */
static inline fmq_message *text_message(const char *topic, const char *body) {
  fmq_message *made;
  check(fmq_message_new(topic, body, strlen(body), &made));
  return made;
}

/* Sends a message that is not needed any more. */
static inline void send_and_free(fmq_producer *producer, fmq_message *message) {
  check(fmq_producer_send(producer, message, -1, NULL));
  fmq_message_free(message);
}

/* The body as a text of C, at most `size` bytes with its end. */
static inline const char *body_of(const fmq_stored_message *message, char *text, size_t size) {
  size_t length;
  const char *body = fmq_stored_message_body(message, &length);
  snprintf(text, size, "%.*s", (int)length, body);
  return text;
}

/* Options of a consumer whose group, if it is new, begins with the first message. */
static inline fmq_options *from_first(void) {
  fmq_options *settings;
  check(fmq_options_new(&settings));
  check(fmq_options_set(settings, "consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET"));
  return settings;
}

/*
 * A consumer that calls the listener with each message of a topic whose tag the expression names. It runs until it is
 * closed or freed.
 */
static inline fmq_push_consumer *subscribe(fmq_instance *mq, const char *group, const char *topic,
                                           const char *expression, fmq_one_listener listener, void *user_data) {
  fmq_options *settings = from_first();
  fmq_push_consumer *consumer;
  check(fmq_push_consumer_new(mq, group, settings, &consumer));
  fmq_options_free(settings);
  check(fmq_push_consumer_subscribe(consumer, topic, expression));
  check(fmq_push_consumer_listen_one(consumer, listener, user_data, NULL));
  check(fmq_push_consumer_start(consumer));
  return consumer;
}

/* What listeners count, and the program waits for. */
typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count;
} counter;

#define COUNTER {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}

static inline void count_one(counter *of) {
  pthread_mutex_lock(&of->lock);
  of->count += 1;
  pthread_cond_broadcast(&of->changed);
  pthread_mutex_unlock(&of->lock);
}

/* Waits until so many were counted; ends the program if that does not come true in time. */
static inline void await_within(counter *of, int count, int seconds) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += seconds;
  pthread_mutex_lock(&of->lock);
  while (of->count < count) {
    if (pthread_cond_timedwait(&of->changed, &of->lock, &end) != 0) {
      fprintf(stderr, "%d of %d came\n", of->count, count);
      exit(1);
    }
  }
  pthread_mutex_unlock(&of->lock);
}

static inline void await(counter *of, int count) { await_within(of, count, PATIENCE); }

/* Ends what a program has, and tells what went wrong at the end. */
static inline void finish(fmq_push_consumer *consumer, fmq_producer *producer, fmq_instance *mq) {
  if (consumer != NULL) {
    check(fmq_push_consumer_close(consumer, -1));
    fmq_push_consumer_free(consumer);
  }
  if (producer != NULL) {
    check(fmq_producer_close(producer, -1));
    fmq_producer_free(producer);
  }
  check(fmq_instance_close(mq, -1));
  fmq_instance_free(mq);
}

#endif
