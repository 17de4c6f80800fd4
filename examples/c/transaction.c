/*
 * An order and the message about it, together or not at all. The shop writes the order in its own database; the cart service
 * clears the cart when it gets the message, which it does if and only if the order was committed. What the cart service
 * makes of the message is its own business: if it fails it gets the message again, and the order stays.
 */
#include "examples.h"

/* The shop's database: the transactions that were committed. */
static pthread_mutex_t database = PTHREAD_MUTEX_INITIALIZER;
static char committed[8][64];
static int transactions;
static counter cleared = COUNTER;

static bool ends_with(const char *text, size_t length, const char *end) {
  return length >= strlen(end) && memcmp(text + length - strlen(end), end, strlen(end)) == 0;
}

/* The local transaction, once the broker holds the message back for us. */
static int32_t execute(const fmq_message *message, const char *transaction_id, void *user_data) {
  (void)user_data;
  size_t length;
  const char *order = fmq_message_body(message, &length);
  if (ends_with(order, length, "without money")) {
    printf("%.*s: rolled back\n", (int)length, order);
    return FMQ_ROLLBACK;
  }
  pthread_mutex_lock(&database);
  snprintf(committed[transactions++], sizeof committed[0], "%s", transaction_id);
  pthread_mutex_unlock(&database);
  printf("%.*s: committed\n", (int)length, order);
  /* The answer may get lost: this one does not give it, so the broker will ask. */
  return ends_with(order, length, "with a slow answer") ? FMQ_UNKNOWN : FMQ_COMMIT;
}

/* The broker asks, this producer or another of the group, perhaps after a crash: look into the database. */
static int32_t look(const fmq_stored_message *message, void *user_data) {
  (void)user_data;
  int32_t found = FMQ_ROLLBACK;
  pthread_mutex_lock(&database);
  for (int at = 0; at < transactions; at++) {
    if (strcmp(committed[at], fmq_stored_message_id(message)) == 0) {
      found = FMQ_COMMIT;
    }
  }
  pthread_mutex_unlock(&database);
  return found;
}

static int32_t clear_cart(const fmq_stored_message *message, const fmq_consume_context *context, void *user_data) {
  (void)context;
  (void)user_data;
  char order[64];
  body_of(message, order, sizeof order);
  if (fmq_stored_message_reconsume_times(message) == 0 && strcmp(order, "order 1") == 0) {
    printf("the cart of %s is not cleared yet: its service has a problem\n", order);
    return FMQ_LATER;
  }
  printf("the cart of %s is cleared\n", order);
  count_one(&cleared);
  return FMQ_SUCCESS;
}

int main(int count, char **arguments) {
  fmq_instance *mq = instance(count, arguments);
  check(fmq_instance_create_topic(mq, "OrdersPlaced", 4));
  /* A group of its own: brokers ask any producer of the group how a transaction ended. */
  fmq_transaction_producer *producer;
  check(fmq_transaction_producer_new(mq, "shop-transactions", NULL, execute, look, NULL, NULL, &producer));
  const char *orders[] = {"order 1", "order 2 without money", "order 3 with a slow answer"};
  const char *states[] = {"Commit", "Rollback", "Unknown"};
  for (int at = 0; at < 3; at++) {
    fmq_message *message = text_message("OrdersPlaced", orders[at]);
    /* Ask after a second, not after the broker's transactionTimeOut. */
    check(fmq_message_set_transaction_check_immunity(message, 1));
    fmq_sent *sent;
    int32_t state;
    check(fmq_transaction_producer_send(producer, message, &sent, &state));
    printf("%s: %s\n", states[state], fmq_sent_line(sent));
    fmq_sent_free(sent);
    fmq_message_free(message);
  }
  fmq_push_consumer *consumer = subscribe(mq, "CID_CART", "OrdersPlaced", "*", clear_cart, NULL);
  /* Brokers look for answers that are missing every transactionCheckInterval: half a minute by default. */
  await_within(&cleared, 2, PATIENCE * 3);
  check(fmq_transaction_producer_close(producer, -1));
  fmq_transaction_producer_free(producer);
  finish(consumer, NULL, mq);
  return 0;
}
