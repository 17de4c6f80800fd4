/* Counts what quickstart_producer has sent, asking for it. */
#include "examples.h"

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  fmq_options *settings = from_first();
  fmq_consumer *consumer;
  check(fmq_consumer_new(mq, from_environment("CONSUMER_GROUP", "counters"), settings, &consumer));
  fmq_options_free(settings);
  check(fmq_consumer_subscribe(consumer, "topic_example_java", "TagA"));
  size_t counted = 0;
  while (counted < 10001) {
    fmq_messages *messages;
    check(fmq_consumer_poll(consumer, PATIENCE * 1000, &messages));
    if (fmq_messages_count(messages) == 0) {
      fprintf(stderr, "%zu came\n", counted);
      return 1;
    }
    counted += fmq_messages_count(messages);
    fmq_messages_free(messages);
  }
  printf("counted: %zu\n", counted);
  check(fmq_consumer_close(consumer, -1));
  fmq_consumer_free(consumer);
  finish(NULL, NULL, mq);
  return 0;
}
