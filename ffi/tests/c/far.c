/* A queue beyond 2^53 messages, in a log beyond 2^60 bytes: a store of a few messages is moved there. `far DIRECTORY` */
#include "check.h"

#define MESSAGES ((INT64_C(1) << 53) + 1)
#define BYTES (INT64_C(1) << 60)

static int64_t number(const unsigned char *bytes, int length) {
  int64_t value = 0;
  for (int at = 0; at < length; at++) {
    value = value * 256 + bytes[at];
  }
  return value;
}

static void add(unsigned char *bytes, int64_t more) {
  int64_t value = number(bytes, 8) + more;
  for (int at = 7; at >= 0; at--, value /= 256) {
    bytes[at] = (unsigned char)(value % 256);
  }
}

/* Moves the log and its records; queues and index are made again at the next start. */
static void move(const char *root) {
  char old[512], new[512], made[512];
  snprintf(old, sizeof old, "%s/commitlog/%020d", root, 0);
  snprintf(new, sizeof new, "%s/commitlog/%020" PRId64, root, BYTES);
  FILE *log = fopen(old, "r+b");
  CHECK(log != NULL);
  unsigned char head[36];
  for (long at = 0;; at += (long)number(head, 4)) {
    CHECK(fseek(log, at, SEEK_SET) == 0 && fread(head, sizeof head, 1, log) == 1);
    if (number(head, 4) == 0) {
      break;
    }
    add(head + 20, MESSAGES);
    add(head + 28, BYTES);
    CHECK(fseek(log, at, SEEK_SET) == 0 && fwrite(head, sizeof head, 1, log) == 1);
  }
  CHECK(fclose(log) == 0 && rename(old, new) == 0);
  snprintf(made, sizeof made, "rm -r '%s/consumequeue' '%s/index' '%s/checkpoint'", root, root, root);
  CHECK(system(made) == 0);
}

static int64_t send_to(fmq_instance *mq, const char *body) {
  fmq_producer *producer;
  OK(fmq_producer_new(mq, "P", NULL, &producer));
  fmq_message *made = message("Far", body);
  fmq_sent *sent;
  OK(fmq_producer_send(producer, made, -1, &sent));
  int64_t offset = fmq_sent_queue_offset(sent);
  fmq_sent_free(sent);
  fmq_message_free(made);
  fmq_producer_free(producer);
  return offset;
}

int main(int count, char **arguments) {
  CHECK(count == 2);
  fmq_instance *mq;
  OK(fmq_open(arguments[1], NULL, &mq));
  OK(fmq_instance_create_topic(mq, "Far", 1));
  CHECK(send_to(mq, "0") == 0 && send_to(mq, "1") == 1);
  fmq_instance_free(mq);
  move(arguments[1]);

  OK(fmq_open(arguments[1], NULL, &mq));
  CHECK(send_to(mq, "2") == MESSAGES + 2);
  fmq_consumer *consumer;
  const char *from_first[] = {"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", NULL};
  fmq_options *first = options(from_first);
  OK(fmq_consumer_new(mq, "G", first, &consumer));
  OK(fmq_consumer_subscribe(consumer, "Far", "*"));
  for (int64_t seen = 0; seen < 3;) {
    fmq_messages *messages;
    OK(fmq_consumer_poll(consumer, 60000, &messages));
    CHECK(fmq_messages_count(messages) > 0);
    for (size_t at = 0; at < fmq_messages_count(messages); at++, seen++) {
      char body[2] = {(char)('0' + seen), '\0'};
      const fmq_stored_message *stored = fmq_messages_at(messages, at);
      CHECK(fmq_stored_message_queue_offset(stored) == MESSAGES + seen);
      CHECK(body_is(stored, body));
    }
    fmq_messages_free(messages);
  }
  fmq_options_free(first);
  fmq_consumer_free(consumer);
  fmq_instance_free(mq);
  puts("ok");
  return 0;
}
