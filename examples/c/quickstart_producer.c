/* A producer as a service has it: made once from settings, used for all messages, closed at the end. */
#include "examples.h"

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  /* The settings, as they would stand in a file: Apache's keys. */
  const char *settings[][2] = {
      {"producerGroup", from_environment("PRODUCER_GROUP", "group_example_java")},
      {"retryTimesWhenSendFailed", "3"},
      {"retryTimesWhenSendAsyncFailed", "3"},
      {"retryAnotherBrokerWhenNotStoreOK", "true"},
  };
  fmq_options *options;
  check(fmq_options_new(&options));
  for (size_t at = 0; at < sizeof settings / sizeof settings[0]; at++) {
    check(fmq_options_set(options, settings[at][0], settings[at][1]));
  }
  fmq_producer *producer;
  check(fmq_producer_new(mq, NULL, options, &producer));
  fmq_options_free(options);
  int stored = 0;
  for (int number = 0; number <= 10000; number++) {
    char body[64];
    snprintf(body, sizeof body, "Hello Java Demo RocketMQ:%d", number);
    fmq_message *message = text_message("topic_example_java", body);
    check(fmq_message_set_tag(message, "TagA"));
    fmq_sent *sent;
    fmq_error *error = fmq_producer_send(producer, message, -1, &sent);
    if (error == NULL) {
      stored += 1;
      printf("result of the send: %s\n", fmq_sent_line(sent));
    } else {
      fprintf(stderr, "not sent: %s\n", fmq_error_message(error));
    }
    fmq_error_free(error);
    fmq_sent_free(sent);
    fmq_message_free(message);
  }
  finish(NULL, producer, mq);
  return stored == 10001 ? 0 : 1;
}
