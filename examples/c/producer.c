/* The three ways to send, each with what it is for. */
#include "examples.h"

static counter heard = COUNTER;

static void hear(const fmq_sent *sent, const fmq_error *error, void *user_data) {
  (void)user_data;
  /* It may send again if it failed and fmq_error_is_retriable. */
  if (error != NULL) {
    fprintf(stderr, "not sent: %s\n", fmq_error_message(error));
  } else {
    printf("async: %s\n", fmq_sent_line(sent));
  }
  count_one(&heard);
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "Notices", 4));
  fmq_producer *producer = producer_of(mq, "senders");

  /* Mails and short messages to customers are important: wait until each is stored, and look how safe it is. */
  const char *mails[] = {"mail to ann", "mail to bob"};
  for (int at = 0; at < 2; at++) {
    fmq_message *message = text_message("Notices", mails[at]);
    check(fmq_message_set_tag(message, "mail"));
    fmq_sent *sent;
    check(fmq_producer_send(producer, message, -1, &sent));
    if (fmq_sent_status(sent) != FMQ_SEND_OK) {
      printf("stored, but not as safe as it could be: %s\n", fmq_sent_line(sent));
    }
    printf("sync: %s\n", fmq_sent_line(sent));
    fmq_sent_free(sent);
    fmq_message_free(message);
  }

  /* After an upload a video is converted, which takes long, and the uploader must not wait: the callback hears of it. */
  for (int video = 0; video < 3; video++) {
    char body[32];
    snprintf(body, sizeof body, "convert video %d", video);
    fmq_message *message = text_message("Notices", body);
    check(fmq_message_set_tag(message, "video"));
    check(fmq_producer_send_callback(producer, message, NULL, hear, NULL, NULL));
    fmq_message_free(message);
  }
  await(&heard, 3);

  /* Log lines are many, and one lost is no harm: do not ask for an answer. */
  for (int line = 0; line < 100; line++) {
    char body[32];
    snprintf(body, sizeof body, "log line %d", line);
    fmq_message *message = text_message("Notices", body);
    check(fmq_message_set_tag(message, "log"));
    check(fmq_producer_send_oneway(producer, message, NULL));
    fmq_message_free(message);
  }
  puts("oneway: 100 log lines");
  finish(NULL, producer, mq);
  return 0;
}
