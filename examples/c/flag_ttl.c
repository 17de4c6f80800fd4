/*
 * A flag for each business key, in a store that forgets after some time (Redis in many systems, a table here). Cheap, and
 * weaker than a table in the database of the work: work and flag do not appear together, so a crash between them lets the
 * work be done twice. The flag is set only after the work, never before, or a failure would lose the message.
 */
#include "examples.h"

enum { MOST = 1024 };

static struct {
  char key[64];
  int64_t until_ms;
} flags[MOST];
static int used;
static int64_t keep_ms;
static int worked;
static counter deliveries = COUNTER;
/* Two deliveries of one key at the same time would both find no flag. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_set(const char *key) {
  for (int at = 0; at < used; at++) {
    if (strcmp(flags[at].key, key) == 0 && flags[at].until_ms > now_ms()) {
      return true;
    }
  }
  return false;
}

/* Sets the flag, in the place of one whose time has come if there is any. */
static void set(const char *key) {
  int at = 0;
  while (at < used && flags[at].until_ms > now_ms()) {
    at += 1;
  }
  if (at == MOST) {
    fprintf(stderr, "too many flags\n");
    exit(1);
  }
  used = at == used ? used + 1 : used;
  snprintf(flags[at].key, sizeof flags[at].key, "%s", key);
  flags[at].until_ms = now_ms() + keep_ms;
}

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  const char *key = fmq_stored_message_keys(message);
  pthread_mutex_lock(&one_at_a_time);
  if (is_set(key)) {
    printf("%s is done already\n", key);
  } else {
    printf("working on %s\n", key);
    worked += 1;
    set(key);
  }
  pthread_mutex_unlock(&one_at_a_time);
  count_one(&deliveries);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  /* Longer than the same message can come again: 72 h. */
  keep_ms = atoll(from_environment("KEEP_MS", "259200000"));
  check(fmq_instance_create_topic(mq, "Flagged", 1));
  fmq_producer *producer = producer_of(mq, "flag-producers");
  for (int number = 0; number < 6; number++) {
    char key[16];
    snprintf(key, sizeof key, "KEY_%d", number / 2);
    fmq_message *message = text_message("Flagged", "work");
    check(fmq_message_add_key(message, key));
    send_and_free(producer, message);
  }
  fmq_push_consumer *consumer = subscribe(mq, "CID_FLAG", "Flagged", "*", listen, NULL);
  await(&deliveries, 6);
  finish(consumer, producer, mq);
  printf("worked %d times\n", worked);
  return 0;
}
