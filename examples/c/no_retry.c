/*
 * A listener that never wants a message again: it handles every failure itself and commits. What it cannot do is lost then,
 * so this is rarely right.
 */
#include "examples.h"

static counter delivered = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  char text[64], *end;
  body_of(message, text, sizeof text);
  strtoul(text, &end, 10);
  if (end == text || *end != '\0') {
    printf("\"%s\" is given up\n", text);
  }
  count_one(&delivered);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Hopeless", 4));
  fmq_producer *producer = producer_of(mq, "no-retry-producers");
  for (int number = 0; number < 5; number++) {
    char body[32];
    snprintf(body, sizeof body, "not a number: %d", number);
    send_and_free(producer, text_message("Hopeless", body));
  }
  fmq_push_consumer *consumer = subscribe(mq, "CID_NO_RETRY", "Hopeless", "*", listen, NULL);
  await(&delivered, 5);
  finish(consumer, producer, mq);
  return 0;
}
