/* The first program: send some messages and consume them. */
#include "examples.h"

static counter received = COUNTER;

static int32_t listen(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  for (size_t at = 0; at < fmq_messages_count(messages); at++) {
    const fmq_stored_message *message = fmq_messages_at(messages, at);
    char text[64];
    printf("received: %s (%s)\n", body_of(message, text, sizeof text), fmq_stored_message_id(message));
    count_one(&received);
  }
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Greetings", 4));

  fmq_producer *producer = producer_of(mq, "greeters");
  for (int number = 0; number < 10; number++) {
    char body[32];
    snprintf(body, sizeof body, "hello %d", number);
    fmq_message *message = text_message("Greetings", body);
    fmq_sent *sent;
    check(fmq_producer_send(producer, message, -1, &sent));
    printf("sent: %s\n", fmq_sent_line(sent));
    fmq_sent_free(sent);
    fmq_message_free(message);
  }

  fmq_options *settings = from_first();
  fmq_push_consumer *consumer;
  check(fmq_push_consumer_new(mq, "listeners", settings, &consumer));
  fmq_options_free(settings);
  check(fmq_push_consumer_subscribe(consumer, "Greetings", "*"));
  check(fmq_push_consumer_listen(consumer, listen, NULL, NULL));
  check(fmq_push_consumer_start(consumer));
  await(&received, 10);
  finish(consumer, producer, mq);
  return 0;
}
