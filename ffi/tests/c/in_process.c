/* Appenders and readers: a queue of the process by itself. */
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static char buffer[64];

/* The next message is this one. */
static void next_is(fmq_reader *reader, int64_t offset, const char *body) {
  size_t length;
  int64_t found;
  OK(fmq_reader_read(reader, buffer, sizeof buffer, &length, &found));
  CHECK(found == offset && length == strlen(body) && memcmp(buffer, body, length) == 0);
}

static void nothing_is_next(fmq_reader *reader) {
  size_t length = 7;
  int64_t found = 7;
  OK(fmq_reader_read(reader, NULL, 0, &length, &found));
  CHECK(found == -1 && length == 0);
}

static void wrong_calls(fmq_instance *mq, fmq_appender *appender, fmq_reader *reader) {
  fmq_appender *none = (fmq_appender *)buffer;
  FAILS(FMQ_NOT_FOUND, fmq_appender_new(mq, "NoSuchTopic", 0, &none));
  CHECK(none == NULL);
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_new(mq, "T", 2, &none));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_new(mq, NULL, 0, &none));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append(NULL, "x", 1, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append((fmq_appender *)reader, "x", 1, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append(appender, NULL, 1, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append(appender, "", 0, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append_batch(appender, NULL, NULL, 1, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append_batch(appender, NULL, NULL, 0, NULL));
  const void *bodies[] = {"x", NULL};
  size_t lengths[] = {1, 1};
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append_batch(appender, bodies, lengths, 2, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append_batch(appender, bodies, lengths, SIZE_MAX, NULL));
  fmq_message *message;
  OK(fmq_message_new("Other", "x", 1, &message));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_append_message(appender, message, NULL));
  fmq_message_free(message);
  fmq_reader *other = (fmq_reader *)buffer;
  FAILS(FMQ_NOT_FOUND, fmq_reader_new(mq, "NoSuchTopic", 0, 0, &other));
  CHECK(other == NULL);
  size_t length;
  FAILS(FMQ_INVALID_ARGUMENT, fmq_reader_read(reader, NULL, 1, &length, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_reader_read(reader, buffer, 1, NULL, NULL));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_reader_seek(NULL, 0));
  CHECK(fmq_reader_offset(NULL) == -1);
  fmq_instance *client;
  OK(fmq_connect("127.0.0.1:1", NULL, &client));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_appender_new(client, "T", 0, &none));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_reader_new(client, "T", 0, 0, &other));
  fmq_instance_free(client);
}

/* A forked child can do nothing with them but free them. */
static void forked(fmq_appender *appender, fmq_reader *reader) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    size_t length;
    FAILS(FMQ_FORKED, fmq_appender_append(appender, "x", 1, NULL));
    FAILS(FMQ_FORKED, fmq_reader_read(reader, NULL, 0, &length, NULL));
    fmq_appender_free(appender);
    fmq_reader_free(reader);
    _exit(0);
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(void) {
  fmq_instance *mq;
  OK(fmq_open(NULL, NULL, &mq));
  OK(fmq_instance_create_topic(mq, "T", 2));
  fmq_appender *appender;
  fmq_reader *reader;
  OK(fmq_appender_new(mq, "T", 1, &appender));
  OK(fmq_reader_new(mq, "T", 1, 0, &reader));
  nothing_is_next(reader);

  int64_t offset = 7;
  OK(fmq_appender_append(appender, "one", 3, &offset));
  CHECK(offset == 0);
  const void *bodies[] = {"two", "three"};
  size_t lengths[] = {3, 5};
  OK(fmq_appender_append_batch(appender, bodies, lengths, 2, &offset));
  CHECK(offset == 1);
  fmq_message *message;
  OK(fmq_message_new("T", "four", 4, &message));
  OK(fmq_message_set_tag(message, "tag"));
  OK(fmq_appender_append_message(appender, message, NULL));
  next_is(reader, 0, "one");
  next_is(reader, 1, "two");
  size_t length;
  FAILS(FMQ_INVALID_ARGUMENT, fmq_reader_read(reader, buffer, 4, &length, &offset));
  CHECK(length == 5 && offset == 0 && fmq_reader_offset(reader) == 2);
  next_is(reader, 2, "three");
  next_is(reader, 3, "four");
  nothing_is_next(reader);
  OK(fmq_reader_seek(reader, 1));
  next_is(reader, 1, "two");

  wrong_calls(mq, appender, reader);
  forked(appender, reader);
  OK(fmq_appender_append(appender, "five", 4, &offset));
  CHECK(offset == 4);

  /* They outlive what they were made from, and are good for nothing then. */
  OK(fmq_instance_close(mq, -1));
  FAILS(FMQ_CLOSED, fmq_appender_append(appender, "x", 1, &offset));
  CHECK(offset == 0);
  FAILS(FMQ_CLOSED, fmq_reader_read(reader, buffer, sizeof buffer, &length, NULL));
  fmq_instance_free(mq);
  fmq_message_free(message);
  fmq_appender_free(appender);
  fmq_reader_free(reader);
  fmq_appender_free(NULL);
  fmq_reader_free(NULL);
  puts("ok");
  return 0;
}
