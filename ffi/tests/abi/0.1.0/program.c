/* A program as it was written for 0.1.0. Not to be changed: it stands for all that were compiled then. */
#include <stdatomic.h>

#include "check.h"

static atomic_int heard = 0;
static atomic_int freed = 0;

static int32_t listen(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  CHECK(user_data == &heard);
  CHECK(strcmp(fmq_queue_topic(fmq_consume_context_queue(context)), "Orders") == 0);
  for (size_t at = 0; at < fmq_messages_count(messages); at++) {
    const fmq_stored_message *stored = fmq_messages_at(messages, at);
    CHECK(body_is(stored, "two apples"));
    CHECK(strcmp(fmq_stored_message_tag(stored), "fruit") == 0);
    CHECK(strcmp(fmq_stored_message_property(stored, "colour"), "red") == 0);
    atomic_fetch_add(&heard, 1);
  }
  return FMQ_SUCCESS;
}

static void forget(void *user_data) {
  CHECK(user_data == &heard);
  atomic_fetch_add(&freed, 1);
}

int main(void) {
  fmq_instance *mq;
  OK(fmq_open(NULL, NULL, &mq));
  OK(fmq_instance_create_topic(mq, "Orders", 4));

  fmq_producer *producer;
  OK(fmq_producer_new(mq, "shop", NULL, &producer));
  fmq_message *order = message("Orders", "two apples");
  OK(fmq_message_set_tag(order, "fruit"));
  OK(fmq_message_add_key(order, "order-1"));
  OK(fmq_message_set_property(order, "colour", "red"));
  FAILS(FMQ_INVALID_ARGUMENT, fmq_message_set_property(order, "KEYS", "x"));
  fmq_sent *sent;
  OK(fmq_producer_send(producer, order, 3000, &sent));
  CHECK(fmq_sent_status(sent) == FMQ_SEND_OK);
  CHECK(fmq_sent_queue_offset(sent) == 0);
  CHECK(strncmp(fmq_sent_line(sent), "SEND_OK", 7) == 0);

  fmq_push_consumer *push;
  const char *from_first[] = {"consumeFromWhere", "CONSUME_FROM_FIRST_OFFSET", NULL};
  fmq_options *first = options(from_first);
  OK(fmq_push_consumer_new(mq, "billing", first, &push));
  OK(fmq_push_consumer_subscribe(push, "Orders", "fruit || vegetables"));
  OK(fmq_push_consumer_listen(push, listen, &heard, forget));
  OK(fmq_push_consumer_start(push));
  EVENTUALLY(atomic_load(&heard) == 1);

  fmq_consumer *pull;
  OK(fmq_consumer_new(mq, "reports", first, &pull));
  OK(fmq_consumer_subscribe(pull, "Orders", "*"));
  fmq_messages *messages;
  OK(fmq_consumer_poll(pull, 60000, &messages));
  CHECK(fmq_messages_count(messages) == 1);
  const fmq_stored_message *stored = fmq_messages_at(messages, 0);
  CHECK(strcmp(fmq_stored_message_id(stored), fmq_sent_message_id(sent)) == 0);
  CHECK(strcmp(fmq_stored_message_keys(stored), "order-1") == 0);
  fmq_messages_free(messages);
  OK(fmq_consumer_commit(pull));

  fmq_stored_message *found;
  OK(fmq_instance_message_by_unique_key(mq, "Orders", fmq_sent_message_id(sent), &found));
  CHECK(body_is(found, "two apples"));
  fmq_stored_message_free(found);

  OK(fmq_instance_close(mq, -1));
  CHECK(atomic_load(&freed) == 1);
  FAILS(FMQ_CLOSED, fmq_producer_send(producer, order, -1, NULL));
  FAILS(FMQ_CLOSED, fmq_consumer_poll(pull, -1, &messages));
  fmq_instance_free(mq);
  fmq_options_free(first);
  fmq_sent_free(sent);
  fmq_message_free(order);
  fmq_consumer_free(pull);
  fmq_push_consumer_free(push);
  fmq_producer_free(producer);
  puts("ok");
  return 0;
}
