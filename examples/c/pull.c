/*
 * Reads one queue to its end, at the program's own pace and with its own offsets: nothing is fetched without a call, and no
 * group keeps anything.
 */
#include "examples.h"

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Pulled", 2));
  fmq_producer *producer = producer_of(mq, "pull-producers");
  fmq_queues *queues;
  check(fmq_producer_queues(producer, "Pulled", &queues));
  const fmq_queue *queue = fmq_queues_at(queues, 0);
  fmq_send_options *to_queue;
  check(fmq_send_options_new(&to_queue));
  check(fmq_send_options_set_queue(to_queue, queue));
  for (int number = 0; number < 100; number++) {
    char body[16];
    snprintf(body, sizeof body, "%d", number);
    fmq_message *message = text_message("Pulled", body);
    check(fmq_producer_send_with(producer, message, to_queue, NULL));
    fmq_message_free(message);
  }
  fmq_send_options_free(to_queue);

  fmq_consumer *consumer;
  check(fmq_consumer_new(mq, NULL, NULL, &consumer));
  int64_t offset = 0;
  int32_t status;
  do {
    /* Waits for nothing: the queue ends where there are no new messages. */
    fmq_pulled *pulled;
    check(fmq_consumer_pull(consumer, queue, "*", offset, 32, 0, &pulled));
    printf("%zu messages from offset %" PRId64 ", the queue ends at %" PRId64 "\n",
           fmq_messages_count(fmq_pulled_messages(pulled)), offset, fmq_pulled_max(pulled));
    offset = fmq_pulled_next(pulled);
    status = fmq_pulled_status(pulled);
    fmq_pulled_free(pulled);
  } while (status != FMQ_PULL_NO_NEW_MESSAGES);
  fmq_consumer_free(consumer);
  fmq_queues_free(queues);
  finish(NULL, producer, mq);
  return 0;
}
