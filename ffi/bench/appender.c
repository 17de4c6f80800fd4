/*
 * What an append and a read within the process take through C: appender DIRECTORY SECONDS. Opens the directory with default
 * options, runs each case for SECONDS, appends until 4 GiB of bodies at most (those of 1 KiB go on to that, for twenty times as
 * long at most, if there is a second or more), and prints a line a case: its name, a tab, messages a second, megabytes, and
 * the median of a call. core/benches/appender.rs and bench/chronicle end alike.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ferromq.h"

/* Calls of which one is timed: asking for the time takes as long as a part of an append. */
#define EACH 64
#define SAMPLES 65536 /* an even number */
#define MOST 4294967296.0

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

/* Times of calls from all of a case, at even distances, however long it is. */
static double samples[SAMPLES];
static size_t sampled, seen, every;

static void begin_samples(void) {
  sampled = seen = 0;
  every = 1;
}

static void sample(double took) {
  if (seen++ % every != 0) {
    return;
  }
  if (sampled == SAMPLES) {
    for (sampled = 0; sampled < SAMPLES / 2; sampled++) {
      samples[sampled] = samples[2 * sampled];
    }
    every *= 2;
  }
  samples[sampled++] = took;
}

static int compare(const void *left, const void *right) {
  double a = *(const double *)left, b = *(const double *)right;
  return (a > b) - (a < b);
}

static void print(const char *verb, const char *topic, double count, double size, double took) {
  qsort(samples, sampled, sizeof *samples, compare);
  printf("%s-%s\t%.0f/s\t%.0f MB\tp50 %.0f ns\n", verb, topic, count / took, count * size / 1e6,
         samples[sampled / 2] * 1e9);
  fflush(stdout);
}

static void append(fmq_instance *mq, const char *topic, size_t size, double seconds) {
  fmq_appender *appender;
  check(fmq_appender_new(mq, topic, 0, &appender));
  char *body = malloc(size);
  memset(body, 'x', size);
  begin_samples();
  double count = 0, begun = now(), last = begun;
  while (last - begun < seconds && count * (double)size < MOST) {
    for (int n = 1; n < EACH; n++) {
      check(fmq_appender_append(appender, body, size, NULL));
    }
    double start = now();
    check(fmq_appender_append(appender, body, size, NULL));
    last = now();
    sample(last - start);
    count += EACH;
  }
  print("append", topic, count, (double)size, last - begun);
  free(body);
  fmq_appender_free(appender);
}

static void read_back(fmq_instance *mq, const char *topic, size_t size, double seconds) {
  fmq_reader *reader;
  check(fmq_reader_new(mq, topic, 0, 0, &reader));
  char *buffer = malloc(size);
  begin_samples();
  double count = 0, begun = now(), last = begun;
  size_t length = 0;
  int64_t offset = 0;
  while (last - begun < seconds) {
    double start = 0;
    for (int n = 0; n < EACH; n++) {
      start = n == EACH - 1 ? now() : start;
      check(fmq_reader_read(reader, buffer, size, &length, &offset));
      if (offset < 0) {
        check(fmq_reader_seek(reader, 0));
      } else {
        count++;
      }
    }
    last = now();
    sample(last - start);
  }
  if (length > size) {
    fprintf(stderr, "a body of %zu bytes\n", length);
    exit(1);
  }
  print("read", topic, count, (double)size, last - begun);
  free(buffer);
  fmq_reader_free(reader);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "appender DIRECTORY SECONDS\n");
    return 2;
  }
  double seconds = atof(argv[2]);
  fmq_instance *mq;
  check(fmq_open(argv[1], NULL, &mq));
  check(fmq_instance_create_topic(mq, "128", 1));
  append(mq, "128", 128, seconds);
  read_back(mq, "128", 128, seconds);
  check(fmq_instance_create_topic(mq, "1k", 1));
  append(mq, "1k", 1024, seconds >= 1 ? seconds * 20 : seconds);
  read_back(mq, "1k", 1024, seconds);
  check(fmq_instance_close(mq, -1));
  fmq_instance_free(mq);
  return 0;
}
