/* A child of fork() is refused what is its parent's, forgets it when it frees it, and may have objects of its own. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

static atomic_int heard, freed;

static int32_t hear(const fmq_messages *messages, const fmq_consume_context *context, void *user_data) {
  (void)context;
  atomic_fetch_add((atomic_int *)user_data, (int)fmq_messages_count(messages));
  return FMQ_SUCCESS;
}

static void given_back(void *user_data) {
  (void)user_data;
  atomic_fetch_add(&freed, 1);
}

static int32_t commits(const fmq_message *half, const char *id, void *user_data) {
  (void)half;
  (void)id;
  (void)user_data;
  return FMQ_COMMIT;
}

static int32_t checks(const fmq_stored_message *half, void *user_data) {
  (void)half;
  (void)user_data;
  return FMQ_COMMIT;
}

static fmq_instance *mq;
static fmq_producer *producer;
static fmq_transaction_producer *transactions;
static fmq_push_consumer *push;
static fmq_consumer *pull;
static fmq_server *server;
static fmq_message *one;

/* Threads that have something to log at every moment, also at that of the fork. */
static atomic_bool quiet;

static void line(int32_t level, const char *part, const char *text, void *user_data) {
  (void)level;
  (void)part;
  (void)text;
  (void)user_data;
}

static void *talks(void *user_data) {
  while (!atomic_load(&quiet)) {
    if (user_data != NULL) {
      OK(fmq_log_set(FMQ_LOG_DEBUG, line, NULL, NULL));
    }
    fmq_queue_topic(NULL);
  }
  return NULL;
}

static void logs(void) {
  pthread_t threads[3];
  for (int at = 0; at < 3; at++) {
    CHECK(pthread_create(&threads[at], NULL, talks, at == 0 ? &quiet : NULL) == 0);
  }
  for (int round = 0; round < 50; round++) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      alarm(60);
      OK(fmq_log_set(FMQ_LOG_DEBUG, line, NULL, NULL));
      fmq_queue_topic(NULL);
      OK(fmq_log_set(FMQ_LOG_OFF, NULL, NULL, NULL));
      _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  atomic_store(&quiet, true);
  for (int at = 0; at < 3; at++) {
    CHECK(pthread_join(threads[at], NULL) == 0);
  }
  OK(fmq_log_set(FMQ_LOG_OFF, NULL, NULL, NULL));
}

/* Everything that is the parent's is refused at once; what is only memory can still be used. */
static void child(void) {
  fmq_messages *messages;
  fmq_queues *queues;
  FAILS(FMQ_FORKED, fmq_producer_send(producer, one, -1, NULL));
  FAILS(FMQ_FORKED, fmq_producer_close(producer, -1));
  FAILS(FMQ_FORKED, fmq_transaction_producer_send(transactions, one, NULL, NULL));
  FAILS(FMQ_FORKED, fmq_push_consumer_queues(push, &queues));
  FAILS(FMQ_FORKED, fmq_push_consumer_close(push, -1));
  FAILS(FMQ_FORKED, fmq_consumer_poll(pull, -1, &messages));
  FAILS(FMQ_FORKED, fmq_consumer_close(pull, -1));
  FAILS(FMQ_FORKED, fmq_instance_create_topic(mq, "U", 1));
  FAILS(FMQ_FORKED, fmq_instance_close(mq, -1));
  FAILS(FMQ_FORKED, fmq_server_stop(server, -1));
  CHECK(fmq_producer_group(producer) == NULL && fmq_producer_sends_in_flight(producer) == 0);
  fmq_producer_free(producer);
  fmq_transaction_producer_free(transactions);
  fmq_push_consumer_free(push);
  fmq_consumer_free(pull);
  fmq_instance_free(mq);
  fmq_server_free(server);
  CHECK(atomic_load(&freed) == 0);
  fmq_instance *own;
  OK(fmq_open(NULL, NULL, &own));
  OK(fmq_instance_create_topic(own, "T", 1));
  fmq_producer *sender;
  OK(fmq_producer_new(own, "P", NULL, &sender));
  OK(fmq_producer_send(sender, one, -1, NULL));
  FAILS(FMQ_FORKED, fmq_producer_send(producer, one, -1, NULL));
  fmq_producer_free(sender);
  fmq_instance_free(own);
  fmq_message_free(one);
}

int main(void) {
  fmq_options *settings;
  OK(fmq_options_new(&settings));
  OK(fmq_options_set(settings, "listen", "free"));
  OK(fmq_server_start(NULL, settings, &server));
  fmq_options_free(settings);
  OK(fmq_open(NULL, NULL, &mq));
  OK(fmq_instance_create_topic(mq, "T", 1));
  OK(fmq_producer_new(mq, "P", NULL, &producer));
  OK(fmq_transaction_producer_new(mq, "TP", NULL, commits, checks, NULL, given_back, &transactions));
  OK(fmq_push_consumer_new(mq, "G", NULL, &push));
  OK(fmq_push_consumer_subscribe(push, "T", "*"));
  OK(fmq_push_consumer_listen(push, hear, &heard, given_back));
  OK(fmq_push_consumer_start(push));
  OK(fmq_consumer_new(mq, "H", NULL, &pull));
  OK(fmq_consumer_subscribe(pull, "T", "*"));
  OK(fmq_consumer_start(pull));
  one = message("T", "one");
  for (int round = 0; round < 20; round++) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      alarm(60);
      child();
      _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(fmq_producer_send(producer, one, -1, NULL));
    EVENTUALLY(atomic_load(&heard) >= round);
  }
  fmq_message_free(one);
  fmq_producer_free(producer);
  fmq_transaction_producer_free(transactions);
  fmq_push_consumer_free(push);
  fmq_consumer_free(pull);
  fmq_instance_free(mq);
  fmq_server_free(server);
  CHECK(atomic_load(&freed) == 2);
  logs();
  puts("ok");
  return 0;
}
