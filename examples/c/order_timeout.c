/*
 * An order that is not paid in time is cancelled: a message that arrives an hour after the order looks whether it was paid,
 * and gives its goods back if not.
 */
#include "examples.h"

/* One hour with the broker's default table. */
enum { LEVEL = 17 };

static pthread_mutex_t shop = PTHREAD_MUTEX_INITIALIZER;
static int stock = 10;
static const char *orders[4] = {"placed", "placed", "placed", "placed"};
static counter looked = COUNTER;

static void show(void) {
  pthread_mutex_lock(&shop);
  printf("%d pieces, orders A: %s B: %s C: %s D: %s\n", stock, orders[0], orders[1], orders[2], orders[3]);
  pthread_mutex_unlock(&shop);
}

static int32_t listen(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  char order = fmq_stored_message_keys(message)[0];
  pthread_mutex_lock(&shop);
  /* Only an order that is still open: a second delivery finds it cancelled. */
  if (strcmp(orders[order - 'A'], "placed") == 0) {
    orders[order - 'A'] = "cancelled";
    stock += 1;
    printf("order %c was not paid: cancelled\n", order);
  }
  pthread_mutex_unlock(&shop);
  count_one(&looked);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "OrderTimeout", 4));
  fmq_producer *producer = producer_of(mq, "shops");
  for (int order = 0; order < 4; order++) {
    char key[2] = {(char)('A' + order), '\0'};
    pthread_mutex_lock(&shop);
    stock -= 1;
    pthread_mutex_unlock(&shop);
    fmq_message *message = text_message("OrderTimeout", "look");
    check(fmq_message_add_key(message, key));
    check(fmq_message_set_delay_level(message, LEVEL));
    send_and_free(producer, message);
  }
  pthread_mutex_lock(&shop);
  orders[1] = orders[3] = "paid";
  pthread_mutex_unlock(&shop);
  show();
  fmq_push_consumer *consumer = subscribe(mq, "CID_TIMEOUT", "OrderTimeout", "*", listen, NULL);
  /* With the default table this is an hour. */
  await_within(&looked, 4, PATIENCE + 3600);
  show();
  finish(consumer, producer, mq);
  return 0;
}
