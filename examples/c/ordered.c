/*
 * The steps of an order in their order, while different orders go side by side: all steps of an order go to one queue, one
 * after the other, and a queue is consumed by one thread at a time.
 */
#include "examples.h"

enum { ORDERS = 100 };

static const char *const STEPS[] = {"created", "paid", "pushed", "completed"};
static counter consumed = COUNTER;
/* The step that each order has reached. Its queue's thread alone looks at it. */
static int reached[ORDERS];

static int step_of(const char *text) {
  int step = 0;
  while (step < 4 && strcmp(STEPS[step], text) != 0) {
    step += 1;
  }
  return step;
}

static int32_t listen(const fmq_messages *messages, const fmq_orderly_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  for (size_t at = 0; at < fmq_messages_count(messages); at++) {
    const fmq_stored_message *message = fmq_messages_at(messages, at);
    char text[16];
    int order = atoi(fmq_stored_message_keys(message)), step = step_of(body_of(message, text, sizeof text));
    /* A step that was seen before is a second delivery, which may happen; one that comes early must not. */
    if (step > reached[order]) {
      fprintf(stderr, "order %d: %s came at step %d\n", order, text, reached[order]);
      exit(1);
    }
    reached[order] = step + 1 > reached[order] ? step + 1 : reached[order];
    printf("a step of order %d\n", order);
    count_one(&consumed);
  }
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "OrderSteps", 4));
  fmq_producer *producer = producer_of(mq, "order-producers");
  fmq_send_options *to;
  check(fmq_send_options_new(&to));
  for (int step = 0; step < 4; step++) {
    for (int order = 0; order < ORDERS; order++) {
      char order_id[16];
      snprintf(order_id, sizeof order_id, "%d", order);
      fmq_message *message = text_message("OrderSteps", STEPS[step]);
      check(fmq_message_add_key(message, order_id));
      check(fmq_send_options_set_sharding_key(to, order_id));
      check(fmq_producer_send_with(producer, message, to, NULL));
      fmq_message_free(message);
    }
  }
  fmq_send_options_free(to);
  fmq_options *settings = from_first();
  fmq_push_consumer *consumer;
  check(fmq_push_consumer_new(mq, "order-consumers", settings, &consumer));
  fmq_options_free(settings);
  check(fmq_push_consumer_subscribe(consumer, "OrderSteps", "*"));
  check(fmq_push_consumer_listen_orderly(consumer, listen, NULL, NULL));
  check(fmq_push_consumer_start(consumer));
  await(&consumed, ORDERS * 4);
  finish(consumer, producer, mq);
  return 0;
}
