/*
 * Three groups consume the same payments: points, activity, coupons. When one of them fails, the message comes again for this
 * group alone; the others are not charged twice.
 */
#include "examples.h"

typedef struct {
  const char *name;
  counter deliveries, booked;
} group;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  group *own = user_data;
  char text[32];
  bool fails = strcmp(own->name, "points") == 0 && fmq_stored_message_reconsume_times(message) == 0;
  printf("%s: %s %s\n", own->name, body_of(message, text, sizeof text), fails ? "fails" : "booked");
  count_one(&own->deliveries);
  if (fails) {
    return FMQ_LATER;
  }
  count_one(&own->booked);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Payments", 4));
  fmq_producer *producer = producer_of(mq, "payers");
  for (int order = 0; order < 3; order++) {
    char body[32];
    snprintf(body, sizeof body, "order %d", order);
    send_and_free(producer, text_message("Payments", body));
  }
  static group groups[] = {
      {"points", COUNTER, COUNTER}, {"activity", COUNTER, COUNTER}, {"coupons", COUNTER, COUNTER}};
  fmq_push_consumer *consumers[3];
  for (int at = 0; at < 3; at++) {
    consumers[at] = subscribe(mq, groups[at].name, "Payments", "*", listen, &groups[at]);
  }
  for (int at = 0; at < 3; at++) {
    await(&groups[at].booked, 3);
  }
  for (int at = 0; at < 3; at++) {
    /* No delivery comes after this. */
    check(fmq_push_consumer_close(consumers[at], -1));
    fmq_push_consumer_free(consumers[at]);
    printf("%s got %d deliveries\n", groups[at].name, groups[at].deliveries.count);
  }
  finish(NULL, producer, mq);
  return 0;
}
