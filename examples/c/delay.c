/* Messages that arrive later: delay level 3 is 10 s with the broker's default table (EXPECTED_MS for another one). */
#include "examples.h"

static counter arrived = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  int64_t delay = now_ms - fmq_stored_message_born_timestamp(message);
  printf("message arrived %" PRId64 " ms after it was sent\n", delay);
  if (delay < *(const int64_t *)user_data) {
    fprintf(stderr, "that is early\n");
    exit(1);
  }
  count_one(&arrived);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  int64_t expected = atoll(from_environment("EXPECTED_MS", "10000"));
  check(fmq_instance_create_topic(mq, "TestTopic", 4));
  fmq_producer *producer = producer_of(mq, "ExampleProducerGroup");
  for (int number = 0; number < 100; number++) {
    char body[40];
    snprintf(body, sizeof body, "Hello scheduled message %d", number);
    fmq_message *message = text_message("TestTopic", body);
    check(fmq_message_set_delay_level(message, 3));
    send_and_free(producer, message);
  }
  fmq_push_consumer *consumer = subscribe(mq, "ExampleConsumer", "TestTopic", "*", listen, &expected);
  await(&arrived, 100);
  finish(consumer, producer, mq);
  return 0;
}
