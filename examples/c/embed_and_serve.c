/* A server in this process that others can join: clients of this library, and Apache's in any language. */
#include "examples.h"

static counter received = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  char text[64];
  printf("received: %s\n", body_of(message, text, sizeof text));
  count_one(&received);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  /* Free ports, as this is an example; "true" has Apache's 9876 and 10911. */
  fmq_options *settings = server_options();
  check(fmq_options_set(settings, "listen", "free"));
  fmq_instance *mq;
  check(fmq_open(count > 1 ? arguments[1] : NULL, settings, &mq));
  fmq_options_free(settings);
  uint16_t name_server;
  fmq_instance_listening(mq, &name_server, NULL);
  printf("name server at 127.0.0.1:%u\n", (unsigned)name_server);
  check(fmq_instance_create_topic(mq, "Served", 4));
  fmq_push_consumer *consumer = subscribe(mq, "CID_SERVED", "Served", "*", listen, NULL);

  /* As another process would. */
  char address[32];
  snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)name_server);
  fmq_instance *other;
  check(fmq_connect(address, NULL, &other));
  fmq_producer *visitor = producer_of(other, "visitors");
  fmq_message *message = text_message("Served", "over the network");
  fmq_sent *sent;
  check(fmq_producer_send(visitor, message, -1, &sent));
  printf("sent: %s\n", fmq_sent_line(sent));
  fmq_sent_free(sent);
  fmq_message_free(message);
  await(&received, 1);
  finish(NULL, visitor, other);
  finish(consumer, NULL, mq);
  return 0;
}
