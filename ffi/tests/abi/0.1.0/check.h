/* What the test programs have in common: checks that tell where they failed. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ferromq.h"

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
      abort();                                                                       \
    }                                                                                \
  } while (0)

/* The call succeeds. */
#define OK(call) check_ok((call), #call, __FILE__, __LINE__)

/* The call fails with this code. */
#define FAILS(code, call) check_fails((code), (call), #call, __FILE__, __LINE__)

static inline void check_ok(fmq_error *error, const char *call, const char *file, int line) {
  if (error != NULL) {
    fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, call, fmq_error_name(error), fmq_error_message(error));
    abort();
  }
}

static inline void check_fails(int32_t code, fmq_error *error, const char *call, const char *file, int line) {
  if (fmq_error_code(error) != code) {
    fprintf(stderr, "%s:%d: %s: code %" PRId32 " instead of %" PRId32 ": %s\n", file, line, call,
            fmq_error_code(error), code, fmq_error_message(error));
    abort();
  }
  fmq_error_free(error);
}

static inline int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(long ms) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000};
  nanosleep(&time, NULL);
}

/* Waits until it is true; what takes longer than a minute has failed. */
#define EVENTUALLY(condition)                                    \
  do {                                                           \
    int64_t give_up = now_ms() + 60000;                          \
    while (!(condition)) {                                       \
      CHECK(now_ms() < give_up && "never: " #condition);         \
      sleep_ms(2);                                               \
    }                                                            \
  } while (0)

static inline fmq_message *message(const char *topic, const char *body) {
  fmq_message *made;
  OK(fmq_message_new(topic, body, strlen(body), &made));
  return made;
}

/* Options of pairs, the last NULL; NULL without any. */
static inline fmq_options *options(const char *const *pairs) {
  fmq_options *made;
  OK(fmq_options_new(&made));
  for (; pairs != NULL && *pairs != NULL; pairs += 2) {
    OK(fmq_options_set(made, pairs[0], pairs[1]));
  }
  return made;
}

/* Whether the body is this text. */
static inline bool body_is(const fmq_stored_message *stored, const char *text) {
  size_t length;
  const char *body = fmq_stored_message_body(stored, &length);
  return length == strlen(text) && memcmp(body, text, length) == 0;
}

#endif
