/*
 * Two ways in which a listener asks for a message again. It comes again after 10 s, 30 s, 1 min and so on, 16 times by
 * default, and then becomes a dead letter.
 */
#include "examples.h"

static counter deliveries = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)user_data;
  char text[32];
  int32_t times = fmq_stored_message_reconsume_times(message);
  printf("delivery %" PRId32 " of \"%s\"\n", times + 1, body_of(message, text, sizeof text));
  count_one(&deliveries);
  if (times > 0) {
    return FMQ_SUCCESS;
  }
  if (strcmp(text, "sooner") == 0) {
    /* Not after 10 s, but after the time of delay level 1. */
    check(fmq_consume_context_set_delay_level(context, 1));
  }
  /* The work failed: the message comes again. So it does after any number that is not FMQ_SUCCESS. */
  return FMQ_LATER;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Retried", 4));
  fmq_producer *producer = producer_of(mq, "retry-producers");
  send_and_free(producer, text_message("Retried", "answer later"));
  send_and_free(producer, text_message("Retried", "sooner"));
  fmq_push_consumer *consumer = subscribe(mq, "CID_RETRY", "Retried", "*", listen, NULL);
  await(&deliveries, 4);
  finish(consumer, producer, mq);
  return 0;
}
