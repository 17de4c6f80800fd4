/*
 * A consumer that wants messages whose properties an SQL92 expression holds for. A broker that runs by itself needs
 * enablePropertyFilter=true; an embedded one filters as it is.
 */
#include "examples.h"

static counter came = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  printf("a = %s\n", fmq_stored_message_property(message, "a"));
  count_one(&came);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "TopicTest", 1));
  fmq_producer *producer = producer_of(mq, "sql-producers");
  for (int a = 0; a < 10; a++) {
    char value[8];
    snprintf(value, sizeof value, "%d", a);
    fmq_message *message = text_message("TopicTest", "body");
    check(fmq_message_set_property(message, "a", value));
    send_and_free(producer, message);
  }
  fmq_options *settings = from_first();
  fmq_push_consumer *consumer;
  check(fmq_push_consumer_new(mq, "please_rename_unique_group_name_4", settings, &consumer));
  fmq_options_free(settings);
  check(fmq_push_consumer_subscribe_sql(consumer, "TopicTest", "a between 0 and 3"));
  check(fmq_push_consumer_listen_one(consumer, listen, NULL, NULL));
  check(fmq_push_consumer_start(consumer));
  await(&came, 4);
  finish(consumer, producer, mq);
  return 0;
}
