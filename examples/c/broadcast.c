/*
 * Every member of a group gets every message: caches to clear, settings to reload. Each member keeps how far it has come in a
 * file of its own, and a message that fails does not come again.
 */
#include <unistd.h>

#include "examples.h"

static counter deliveries = COUNTER;

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  char text[32];
  printf("member %d: %s\n", *(const int *)user_data, body_of(message, text, sizeof text));
  count_one(&deliveries);
  return FMQ_SUCCESS;
}

static fmq_push_consumer *member(fmq_instance *mq, const int *number, const char *files) {
  fmq_options *settings = from_first();
  check(fmq_options_set(settings, "messageModel", "BROADCASTING"));
  check(fmq_options_set(settings, "offsetStoreDir", files));
  fmq_push_consumer *consumer;
  check(fmq_push_consumer_new(mq, "CID_BROADCAST", settings, &consumer));
  fmq_options_free(settings);
  check(fmq_push_consumer_subscribe(consumer, "Broadcast", "*"));
  check(fmq_push_consumer_listen_one(consumer, listen, (void *)(uintptr_t)number, NULL));
  check(fmq_push_consumer_start(consumer));
  return consumer;
}

int main(int count, char **arguments) {
  /* Two clients, as two processes would be. A server in this process listens so that the second can join. */
  const char *place = count > 1 ? arguments[1] : from_environment("NAMESRV_ADDR", NULL);
  fmq_server *server = NULL;
  if (place == NULL) {
    fmq_options *settings = server_options();
    check(fmq_options_set(settings, "listen", "free"));
    check(fmq_server_start(NULL, settings, &server));
    fmq_options_free(settings);
    place = fmq_server_name_servers(server);
  }
  char files[] = "/tmp/ferromq-broadcast-XXXXXX";
  if (mkdtemp(files) == NULL) {
    perror(files);
    return 1;
  }
  static const int numbers[] = {0, 1};
  fmq_instance *clients[2];
  fmq_push_consumer *members[2];
  for (int at = 0; at < 2; at++) {
    check(fmq_connect(place, NULL, &clients[at]));
    if (at == 0) {
      check(fmq_instance_create_topic(clients[at], "Broadcast", 4));
    }
    members[at] = member(clients[at], &numbers[at], files);
  }
  fmq_producer *producer = producer_of(clients[0], "broadcasters");
  for (int number = 0; number < 5; number++) {
    char body[32];
    snprintf(body, sizeof body, "reload %d", number);
    send_and_free(producer, text_message("Broadcast", body));
  }
  await(&deliveries, 10);
  finish(members[1], NULL, clients[1]);
  finish(members[0], producer, clients[0]);
  fmq_server_free(server);
  /* A real program keeps the files: with them it goes on where it stopped. */
  char command[64];
  snprintf(command, sizeof command, "rm -r %s", files);
  return system(command) == 0 ? 0 : 1;
}
