/* A consumer that wants messages with some tags only. The broker filters, so the others do not travel. */
#include "examples.h"

static counter came = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  printf("tag %s\n", fmq_stored_message_tag(message));
  count_one(&came);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Tagged", 1));
  fmq_producer *producer = producer_of(mq, "tag-producers");
  const char *tags[] = {"TAGD", "TAGA", "TAGB", "TAGD", "TAGC"};
  for (int at = 0; at < 5; at++) {
    fmq_message *message = text_message("Tagged", "body");
    check(fmq_message_set_tag(message, tags[at]));
    send_and_free(producer, message);
  }
  fmq_push_consumer *consumer =
      subscribe(mq, "CID_EXAMPLE", "Tagged", "TAGA || TAGB || TAGC", listen, NULL);
  await(&came, 3);
  finish(consumer, producer, mq);
  return 0;
}
