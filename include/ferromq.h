/*
 * FerroMQ: Apache RocketMQ as a library. A durable message queue in this process, and a client of clusters, FerroMQ's or
 * Apache's. docs/c.md begins with a program; examples/c has many.
 *
 * This file is made from the library's source. All names begin with fmq_ or FMQ_. Functions are named fmq_NOUN_VERB; the
 * object comes first, outputs last.
 *
 * ERRORS. What can fail returns an fmq_error: NULL for success, otherwise the caller frees it with fmq_error_free. Outputs
 * are set to NULL or 0 first, so they can be freed whatever happened. What cannot fail in a way that matters returns its
 * value, and NULL, 0 or -1 for a NULL argument. No call crashes over a NULL argument, a closed object, or (see below) a
 * freed one, and none lets a panic of the library out: that is FMQ_INTERNAL.
 *
 * TEXTS AND BYTES. Texts are UTF-8 and end with NUL; one that is no UTF-8 is refused. Bytes come with their length. What is
 * given to the library is copied before the call returns. For how long a pointer that the library returns is valid is said
 * with each function; it is never the caller's to free unless that is said.
 *
 * THINGS: fmq_error, fmq_options, fmq_message, fmq_batch, fmq_stored_message, fmq_messages, fmq_queue, fmq_queues,
 * fmq_sent, fmq_send_options, fmq_pulled, fmq_appender, fmq_reader. They are memory of the caller's: made by _new or got as an output, freed once by _free, and
 * used by one thread at a time unless they are only read. What is part of another one, or is handed to a callback, is lent:
 * it must not be used afterwards, and freeing it does nothing.
 *
 * OBJECTS: fmq_instance, fmq_producer, fmq_transaction_producer, fmq_push_consumer, fmq_consumer, fmq_server. All their
 * functions may be called by any thread at any time, _close and _free as well: while other threads are in a call (those end
 * with FMQ_CLOSED), from a callback, and again. A handle that was freed answers FMQ_CLOSED (an _free of it does nothing),
 * one of another type FMQ_INVALID_ARGUMENT. Closing an instance closes what was made from it, whose handles answer
 * FMQ_CLOSED and must still be freed, before or after the instance.
 *
 * CALLBACKS run on threads of the library, several at a time unless it is said otherwise, never with a lock of the library
 * held: they may call everything. They must return, not throw or longjmp out. Each comes with user_data, which is theirs,
 * and free_user_data, which may be NULL: it is called exactly once, when no callback gets that user_data any more, also if
 * the call that it was given to fails. Once _close or _free has returned on a thread that is not in a callback, no callback
 * of that object runs or begins, unless it answered FMQ_TIMEOUT.
 *
 * TIME. Each call that waits has a limit: a parameter in ms, where below 0 means the one of the settings, or the setting
 * that is named. Times of day are ms since 1970.
 *
 * FORK. In a child of fork() objects of its parent answer FMQ_FORKED, and so do fmq_appender and fmq_reader; freeing them
 * only forgets them. Other things stay usable. The child may make objects of its own.
 */
#ifndef FERROMQ_H
#define FERROMQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types --------------------------------------------------------------------------------------------------------- */

/** Why a call failed. Who gets one as the result of a call frees it; one that a callback gets is valid during the callback. */
typedef struct fmq_error fmq_error;

/**
 * Settings: keys and values, both text. What a key means, and which values it takes, is the business of the call that
 * the options are given to; docs/client.md and docs/settings.md list all keys. They may be used again, and freed as soon
 * as the call returns.
 */
typedef struct fmq_options fmq_options;

/**
 * A client of a cluster, or a server of its own in this process with its client. Producers and consumers are made from
 * it and share its connections, routes and threads: make one a process and keep it. Threads may share it.
 */
typedef struct fmq_instance fmq_instance;

/** Messages of one topic that are sent together: all are stored, or none. */
typedef struct fmq_batch fmq_batch;

/** A message to be sent: a topic, a body, and what describes it. The same one may be sent several times. */
typedef struct fmq_message fmq_message;

/** A list of messages that were consumed, in their order. */
typedef struct fmq_messages fmq_messages;

/**
 * A message as a consumer gets it. One of a list is valid as long as the list; one that a callback gets, during the
 * callback; one that is an output of its own belongs to the caller, who frees it. Threads may read one at the same time.
 */
typedef struct fmq_stored_message fmq_stored_message;

/**
 * One queue of a topic: topic, broker and number. One of a list is valid as long as the list, one of a result or a
 * context as long as that.
 */
typedef struct fmq_queue fmq_queue;

/** A list of queues. */
typedef struct fmq_queues fmq_queues;

/**
 * What can be different for one send: where to, and within which time. They may be used again, by one thread at a time.
 *
 * Where the queue is chosen, a send is not tried at another one: a message whose order counts must not come to a queue
 * that the next one is not sent to.
 */
typedef struct fmq_send_options fmq_send_options;

/** Where a message is, after a send. */
typedef struct fmq_sent fmq_sent;

/** Sends messages. Threads may share it. */
typedef struct fmq_producer fmq_producer;

/**
 * Fills one queue of an instance that fmq_open opened: by far the fastest way to store a message, as what a send does for
 * each message is done once. What is promised is what a send promises: a message is stored as the flush mode says when the
 * call returns (with SYNC_FLUSH it waits for the disk), and everyone who reads afterwards finds it. It is stored as it is
 * given: no unique id is made, bodies are not compressed, nothing is tried a second time. Delayed and transactional
 * messages take a producer.
 *
 * One thread uses it at a time; several threads make one each.
 */
typedef struct fmq_appender fmq_appender;

/**
 * Reads one queue of an instance that fmq_open opened, message by message, each copied once: from the store into the
 * caller's buffer. It belongs to no group and commits nothing, and does not wait. Messages that are gone, because their time
 * was over, or turn out to be damaged, are passed over.
 *
 * One thread uses it at a time. The file of the log that it is in stays on the disk as long as it stays there.
 */
typedef struct fmq_reader fmq_reader;

/**
 * Sends messages in transactions. Its group is no other producer's: brokers ask any member how a transaction ended.
 * Threads may share it.
 */
typedef struct fmq_transaction_producer fmq_transaction_producer;

/** What a listener knows and may wish beyond its messages. Valid during the call. */
typedef struct fmq_consume_context fmq_consume_context;

/** What an ordered listener knows and may wish beyond its messages. Valid during the call. */
typedef struct fmq_orderly_context fmq_orderly_context;

/** Calls a listener with what arrives. Threads may share it. */
typedef struct fmq_push_consumer fmq_push_consumer;

/** Is asked for messages, at the program's own pace. Threads may share it; a commit then covers what all of them polled. */
typedef struct fmq_consumer fmq_consumer;

/** What a single pull brought. */
typedef struct fmq_pulled fmq_pulled;

/**
 * A name server, a broker, or both, for other processes; in this one as well fmq_open with the option listen is the
 * better choice. Threads may share it.
 */
typedef struct fmq_server fmq_server;

/* The library --------------------------------------------------------------------------------------------------- */

/** How much a line of the log matters. */
enum fmq_log_level {
  /** No lines. */
  FMQ_LOG_OFF = 0,
  /** Something failed, and somebody has to look at it. */
  FMQ_LOG_ERROR = 1,
  /** Something is odd or went wrong; the library goes on. */
  FMQ_LOG_WARN = 2,
  /** Starts, ends, changes of who consumes what. */
  FMQ_LOG_INFO = 3,
  /** What helps to find out why. */
  FMQ_LOG_DEBUG = 4,
  /** Everything. */
  FMQ_LOG_TRACE = 5,
};

/** Gives user_data back to the program: called once, on any thread, when no callback gets it any more. */
typedef void (*fmq_free_user_data)(void *user_data);

/**
 * Gets a line of the log: its level (one of fmq_log_level), the part of the library that it is from, and the text. Both
 * texts are valid during the call. Runs on whichever thread has something to say, several at a time, and should be quick.
 * What the library says about calls from here is dropped.
 */
typedef void (*fmq_log_callback)(int32_t level, const char *part, const char *text, void *user_data);

/** Frees a text that the library gave to the caller, where its documentation says so. NULL is fine. */
void fmq_string_free(char *string);

/**
 * Has the log of the whole library, of this level and what matters more, handed to a callback, in place of the one before.
 * NULL, or FMQ_LOG_OFF, ends that; without callback nothing is logged, nor written anywhere else. user_data is given back
 * with free_user_data (may be NULL) when the last line that it gets has ended.
 *
 * FMQ_UNSUPPORTED in a Rust program that collects tracing itself.
 */
fmq_error *fmq_log_set(int32_t level,
                       fmq_log_callback callback,
                       void *user_data,
                       fmq_free_user_data free_user_data);

/** The version of the library: "0.1.0". Valid for ever. */
const char *fmq_version(void);

/* Errors -------------------------------------------------------------------------------------------------------- */

/** The kinds of errors, as fmq_error_code tells them. The numbers are fixed; later versions may add some. */
enum fmq_code {
  /** No error: the code of NULL. */
  FMQ_OK = 0,
  /** An argument or a setting is not usable as given. */
  FMQ_INVALID_ARGUMENT = 1,
  /** The operating system refused: file, socket, disk full. */
  FMQ_IO = 2,
  /** Bytes do not have the form they should: a frame, a record, a file. */
  FMQ_CORRUPT = 3,
  /** The call did not end within its time. */
  FMQ_TIMEOUT = 4,
  /** The peer could not be reached, or the connection broke while waiting. */
  FMQ_CONNECTION = 5,
  /** The object was closed or freed, or what it was made from was. */
  FMQ_CLOSED = 6,
  /** The thing asked for does not exist: topic, route, group, message. */
  FMQ_NOT_FOUND = 7,
  /** Permission missing. */
  FMQ_NO_PERMISSION = 8,
  /** A limit was reached: sizes, memory, connections. */
  FMQ_LIMIT_EXCEEDED = 9,
  /** The directory or the port is in use by another process. */
  FMQ_IN_USE = 10,
  /** The store does not take writes: disk full, failed write, shutting down. */
  FMQ_NOT_WRITABLE = 11,
  /** The peer answered with an error of the protocol: see fmq_error_response_code. */
  FMQ_REMOTE = 12,
  /** The peer does not support the request. */
  FMQ_UNSUPPORTED = 13,
  /** A defect of the library itself. */
  FMQ_INTERNAL = 14,
  /** The process was made by fork() from the one that the object belongs to. */
  FMQ_FORKED = 15,
};

/** What kind of error it is: one of fmq_code. 0 (FMQ_OK) of NULL. */
int32_t fmq_error_code(const fmq_error *error);

/** The name of the kind, the same in all languages: "Timeout", "NotFound". "Ok" of NULL. Valid until the error is freed. */
const char *fmq_error_name(const fmq_error *error);

/** What went wrong, in a line that names the thing, the value and the way out. "" of NULL. Valid until the error is freed. */
const char *fmq_error_message(const fmq_error *error);

/** Whether the same call may succeed when repeated. */
bool fmq_error_is_retriable(const fmq_error *error);

/** The response code of the protocol that a peer answered with; -1 where there is none. */
int32_t fmq_error_response_code(const fmq_error *error);

/** Of a failed send: the topic. NULL of other errors. Valid until the error is freed. */
const char *fmq_error_topic(const fmq_error *error);

/**
 * Of a failed send: the message's id, under which fmq_instance_message_by_unique_key finds it if it was stored all the
 * same; of a batch those of all, separated by commas. NULL of other errors. Valid until the error is freed.
 */
const char *fmq_error_message_id(const fmq_error *error);

/** Of a failed send: the broker that was tried last. NULL if none was, and of other errors. Valid until the error is freed. */
const char *fmq_error_broker(const fmq_error *error);

/** Of a failed send: how often it was tried. 0 of other errors. */
size_t fmq_error_attempts(const fmq_error *error);

/** Frees an error. NULL is fine. */
void fmq_error_free(fmq_error *error);

/* Settings ------------------------------------------------------------------------------------------------------ */

/** Makes empty options. */
fmq_error *fmq_options_new(fmq_options **options);

/**
 * Sets a key. Of a key that is set twice the last value counts. Whether the key is known and the value allowed is told
 * by the call that the options are given to.
 */
fmq_error *fmq_options_set(fmq_options *options,
                           const char *key,
                           const char *value);

/** Frees options. NULL is fine. */
void fmq_options_free(fmq_options *options);

/* Instances ----------------------------------------------------------------------------------------------------- */

/**
 * Opens a durable message queue in a directory: name server, broker and client in this process. No socket is opened
 * unless the options say listen, and no other process can have the directory meanwhile. With path NULL messages are
 * kept in memory, unless the options have a path. options may be NULL: listen (true, free, or
 * host:port of the name server:port of the broker), and the keys of broker, name server and client (docs/settings.md,
 * docs/client.md). To be freed with fmq_instance_free.
 */
fmq_error *fmq_open(const char *path,
                    const fmq_options *options,
                    fmq_instance **instance);

/**
 * Makes a client of a cluster, FerroMQ's or Apache's, by its name servers: host:port, several separated by semicolons.
 * With NULL or "" those of the options (namesrvAddr) or of the environment variable NAMESRV_ADDR. options may be NULL;
 * docs/client.md lists the keys of clients. Connects when first needed. To be freed with fmq_instance_free.
 */
fmq_error *fmq_connect(const char *name_servers,
                       const fmq_options *options,
                       fmq_instance **instance);

/**
 * Makes a topic with this many queues on every master, or changes the number of one that is there. Like all questions to
 * brokers below it waits at most mqClientApiTimeout (3 s) for each of them.
 */
fmq_error *fmq_instance_create_topic(fmq_instance *instance,
                                     const char *topic,
                                     int32_t queues);

/** The queues of a topic; to be freed with fmq_queues_free. */
fmq_error *fmq_instance_queues(fmq_instance *instance, const char *topic, fmq_queues **queues);

/**
 * The message at a place, by fmq_sent_offset_id or fmq_stored_message_offset_id; to be freed with
 * fmq_stored_message_free.
 */
fmq_error *fmq_instance_message_by_id(fmq_instance *instance,
                                      const char *offset_id,
                                      fmq_stored_message **message);

/**
 * The message with this unique id: fmq_sent_message_id, or fmq_error_message_id of a send whose end is not known; to
 * be freed with fmq_stored_message_free.
 */
fmq_error *fmq_instance_message_by_unique_key(fmq_instance *instance,
                                              const char *topic,
                                              const char *message_id,
                                              fmq_stored_message **message);

/**
 * Messages that have this key among theirs and were stored between the times, ms since 1970: the oldest first, at most
 * most. To be freed with fmq_messages_free.
 */
fmq_error *fmq_instance_messages_by_key(fmq_instance *instance,
                                        const char *topic,
                                        const char *key,
                                        size_t most,
                                        int64_t begin_ms,
                                        int64_t end_ms,
                                        fmq_messages **messages);

/** The offset of the first message that a queue still has. */
fmq_error *fmq_instance_min_offset(fmq_instance *instance, const fmq_queue *queue, int64_t *offset);

/** The offset that the next message of a queue gets. */
fmq_error *fmq_instance_max_offset(fmq_instance *instance, const fmq_queue *queue, int64_t *offset);

/** The offset of the first message of a queue that was stored at this time, ms since 1970, or later. */
fmq_error *fmq_instance_search_offset(fmq_instance *instance,
                                      const fmq_queue *queue,
                                      int64_t time_ms,
                                      int64_t *offset);

/** When the oldest message of a queue was stored, ms since 1970; -1 if the queue is empty. */
fmq_error *fmq_instance_earliest_store_time(fmq_instance *instance, const fmq_queue *queue, int64_t *time_ms);

/**
 * Gives the masters of a topic a filter function of a consumer group: a WebAssembly module, as docs/filters.md describes
 * it. No bytes take away the one that is there. name is for people.
 */
fmq_error *fmq_instance_set_filter_function(fmq_instance *instance,
                                            const char *topic,
                                            const char *group,
                                            const char *name,
                                            const void *module,
                                            size_t length);

/** What brokers know this client by. Valid until the instance is freed. */
const char *fmq_instance_client_id(const fmq_instance *instance);

/** The name servers, as host:port;host:port. Valid until the instance is freed. */
const char *fmq_instance_name_servers(const fmq_instance *instance);

/** The ports of name server and broker, if this instance listens; false otherwise. Either output may be NULL. */
bool fmq_instance_listening(const fmq_instance *instance, uint16_t *name_server_port, uint16_t *broker_port);

/**
 * Ends everything in order, within timeout_ms (below 0: 30 s): producers and consumers (offsets are committed, groups
 * left), connections, threads, and the server in this process, whose store is brought to disk. What was made from it
 * answers FMQ_CLOSED afterwards and has still to be freed. No callback runs any more when it returns. In a callback it
 * starts the end and returns at once. Closing again is fine.
 *
 * FMQ_TIMEOUT when a callback does not return in time; the rest is done when it does. FMQ_NOT_WRITABLE when the store
 * could not be brought to disk.
 */
fmq_error *fmq_instance_close(fmq_instance *instance,
                              int64_t timeout_ms);

/**
 * Closes an instance, waiting as fmq_instance_close with -1 does, and ends the handle: close it yourself to hear of
 * errors. NULL and a handle that was freed are fine.
 */
void fmq_instance_free(fmq_instance *instance);

/* Messages to be sent ------------------------------------------------------------------------------------------- */

/** Makes a message for a topic. The body is copied: length bytes, whatever they mean; NULL with 0 for none. */
fmq_error *fmq_message_new(const char *topic, const void *body, size_t length, fmq_message **message);

/** Gives a message another body, which is copied. */
fmq_error *fmq_message_set_body(fmq_message *message, const void *body, size_t length);

/** Gives it the one tag that a message may have: consumers choose by it. */
fmq_error *fmq_message_set_tag(fmq_message *message, const char *tag);

/**
 * Adds a business key such as the number of an order, under which the message can be found and told from its duplicates.
 * A key has no spaces.
 */
fmq_error *fmq_message_add_key(fmq_message *message,
                               const char *key);

/** Sets a property of the user's. Names that the system uses are refused, and so are empty values. */
fmq_error *fmq_message_set_property(fmq_message *message, const char *name, const char *value);

/**
 * Delays it: consumers get it when the time of this level of the broker's has passed. By default there are 18: 1 s, 5 s,
 * 10 s, 30 s, 1 to 10 min (one each), 20 min, 30 min, 1 h, 2 h. 0 is no delay.
 */
fmq_error *fmq_message_set_delay_level(fmq_message *message,
                                       int32_t level);

/** Whether the broker answers only when the message is as safe as its modes promise; the default. */
fmq_error *fmq_message_set_wait(fmq_message *message, bool wait);

/**
 * Gives it the key by which its order counts: messages with one sharding key go to one queue, unless the send names
 * another, and are consumed in the order they were sent by one thread.
 */
fmq_error *fmq_message_set_sharding_key(fmq_message *message,
                                        const char *key);

/** Gives it a number that is carried and never looked at. */
fmq_error *fmq_message_set_flag(fmq_message *message, int32_t flag);

/**
 * Of a message sent in a transaction: the broker does not ask what became of it before this many seconds, instead of its
 * own transactionTimeOut.
 */
fmq_error *fmq_message_set_transaction_check_immunity(fmq_message *message,
                                                      uint32_t seconds);

/** The topic. Valid until the message is freed. */
const char *fmq_message_topic(const fmq_message *message);

/** The body, *length bytes. Valid until the message is freed or gets another one. */
const char *fmq_message_body(const fmq_message *message, size_t *length);

/** The tag; NULL without. Valid until the message is changed or freed. */
const char *fmq_message_tag(const fmq_message *message);

/** The keys, separated by spaces; NULL without. Valid until the message is changed or freed. */
const char *fmq_message_keys(const fmq_message *message);

/** The value of a property, the user's or the system's; NULL without. Valid until the message is changed or freed. */
const char *fmq_message_property(const fmq_message *message,
                                 const char *name);

/**
 * The property with this number, counted from 0 and ordered by name; false if there are not so many. Name and value are
 * valid until the message is changed or freed.
 */
bool fmq_message_property_at(const fmq_message *message,
                             size_t index,
                             const char **name,
                             const char **value);

/** Frees a message. NULL is fine. */
void fmq_message_free(fmq_message *message);

/** Makes an empty batch. */
fmq_error *fmq_batch_new(fmq_batch **batch);

/** Adds a message as it is now. Its body is shared, not copied; it may be changed and freed. */
fmq_error *fmq_batch_add(fmq_batch *batch, const fmq_message *message);

/**
 * Adds a message that has only a topic and a body, which are copied: length bytes; NULL with 0 for none. Quicker than to
 * make it, add it and free it.
 */
fmq_error *fmq_batch_add_body(fmq_batch *batch,
                              const char *topic,
                              const void *body,
                              size_t length);

/** How many messages are in it. */
size_t fmq_batch_count(const fmq_batch *batch);

/** Takes all messages out. */
fmq_error *fmq_batch_clear(fmq_batch *batch);

/** Frees a batch. NULL is fine. */
void fmq_batch_free(fmq_batch *batch);

/* Messages that were consumed ----------------------------------------------------------------------------------- */

/** How many messages are in the list; 0 of NULL. */
size_t fmq_messages_count(const fmq_messages *messages);

/** The message with this number, counted from 0; NULL if there are not so many. Valid as long as the list. */
const fmq_stored_message *fmq_messages_at(const fmq_messages *messages, size_t index);

/** Frees a list with its messages. NULL is fine; that of a callback is left alone. */
void fmq_messages_free(fmq_messages *messages);

/** The topic; of a retried message the one that it was first sent to. */
const char *fmq_stored_message_topic(const fmq_stored_message *message);

/** The body, *length bytes, not ended by NUL; length may be NULL. */
const char *fmq_stored_message_body(const fmq_stored_message *message, size_t *length);

/** The id that its producer gave it, the same in every delivery. */
const char *fmq_stored_message_id(const fmq_stored_message *message);

/** The id of the place where it is stored; another one after each retry. */
const char *fmq_stored_message_offset_id(const fmq_stored_message *message);

/** The tag; NULL without. */
const char *fmq_stored_message_tag(const fmq_stored_message *message);

/** The keys, separated by spaces; NULL without. */
const char *fmq_stored_message_keys(const fmq_stored_message *message);

/** The value of a property, the user's or the system's; NULL without. */
const char *fmq_stored_message_property(const fmq_stored_message *message, const char *name);

/** The property with this number, counted from 0 and ordered by name; false if there are not so many. */
bool fmq_stored_message_property_at(const fmq_stored_message *message,
                                    size_t index,
                                    const char **name,
                                    const char **value);

/** Name of the broker that it comes from. */
const char *fmq_stored_message_broker(const fmq_stored_message *message);

/** Number of the queue that it comes from; -1 of NULL. */
int32_t fmq_stored_message_queue_id(const fmq_stored_message *message);

/** Its place in the queue; -1 of NULL. */
int64_t fmq_stored_message_queue_offset(const fmq_stored_message *message);

/** Its place in the broker's log, bytes; -1 of NULL. */
int64_t fmq_stored_message_physical_offset(const fmq_stored_message *message);

/** The number that its producer gave it. */
int32_t fmq_stored_message_flag(const fmq_stored_message *message);

/** The system's bits: compression, transactions. */
int32_t fmq_stored_message_sys_flag(const fmq_stored_message *message);

/** When it was made, ms since 1970 by its producer's clock. */
int64_t fmq_stored_message_born_timestamp(const fmq_stored_message *message);

/** Where it was made: address and port. */
const char *fmq_stored_message_born_host(const fmq_stored_message *message);

/** When it was stored, ms since 1970 by the broker's clock. */
int64_t fmq_stored_message_store_timestamp(const fmq_stored_message *message);

/** How often it was consumed in vain. */
int32_t fmq_stored_message_reconsume_times(const fmq_stored_message *message);

/** Makes a copy that belongs to the caller: for what outlives its list or callback. The body is shared, not copied. */
fmq_error *fmq_stored_message_clone(const fmq_stored_message *message,
                                    fmq_stored_message **copy);

/** Frees a message that the caller owns. NULL is fine; one of a list or a callback is left alone. */
void fmq_stored_message_free(fmq_stored_message *message);

/* Queues -------------------------------------------------------------------------------------------------------- */

/** Makes a queue from its parts. Mostly they come from fmq_instance_queues. */
fmq_error *fmq_queue_new(const char *topic, const char *broker, int32_t id, fmq_queue **queue);

/** The topic. Valid as long as the queue. */
const char *fmq_queue_topic(const fmq_queue *queue);

/** Name of the broker. Valid as long as the queue. */
const char *fmq_queue_broker(const fmq_queue *queue);

/** The number at the broker; -1 of NULL. */
int32_t fmq_queue_id(const fmq_queue *queue);

/** Whether both are the same queue. False if one is NULL. */
bool fmq_queue_equals(const fmq_queue *queue, const fmq_queue *other);

/** Makes a copy that belongs to the caller. */
fmq_error *fmq_queue_clone(const fmq_queue *queue, fmq_queue **copy);

/** Frees a queue that the caller owns. NULL is fine; one of a list, a result or a context is left alone. */
void fmq_queue_free(fmq_queue *queue);

/** Makes an empty list. */
fmq_error *fmq_queues_new(fmq_queues **queues);

/** Adds a copy of a queue. */
fmq_error *fmq_queues_add(fmq_queues *queues, const fmq_queue *queue);

/** How many queues are in the list; 0 of NULL. */
size_t fmq_queues_count(const fmq_queues *queues);

/** The queue with this number, counted from 0; NULL if there are not so many. Valid as long as the list. */
const fmq_queue *fmq_queues_at(const fmq_queues *queues, size_t index);

/** Frees a list with its queues. NULL is fine; that of a callback is left alone. */
void fmq_queues_free(fmq_queues *queues);

/* How to send, and what became of it ---------------------------------------------------------------------------- */

/** How safe a message is that is stored. */
enum fmq_send_status {
  /**
   * As safe as the broker's modes promise: in the memory of its machine, on its disk (SYNC_FLUSH), at a slave as well
   * (SYNC_MASTER).
   */
  FMQ_SEND_OK = 0,
  /** With SYNC_FLUSH: not known to be on disk in time. */
  FMQ_FLUSH_DISK_TIMEOUT = 1,
  /** With SYNC_MASTER: not known to be at a slave in time. */
  FMQ_FLUSH_SLAVE_TIMEOUT = 2,
  /** With SYNC_MASTER: there is no slave that could have it. */
  FMQ_SLAVE_NOT_AVAILABLE = 3,
};

/**
 * Chooses a queue for a message: its place in the list, counted from 0. A place that is not in the list fails the send.
 * Runs on the sending thread, of a send with callback also on a thread of the library; several at a time.
 */
typedef size_t (*fmq_choose)(const fmq_queues *queues, const fmq_message *message, void *user_data);

/** How safe the message is: one of fmq_send_status; -1 of NULL. */
int32_t fmq_sent_status(const fmq_sent *sent);

/** The message's id, the same in every delivery; of a batch those of all, separated by commas. Valid as long as the result. */
const char *fmq_sent_message_id(const fmq_sent *sent);

/** The id of its place at the broker; of a batch those of all, separated by commas. Valid as long as the result. */
const char *fmq_sent_offset_id(const fmq_sent *sent);

/** Its queue. Valid as long as the result. */
const fmq_queue *fmq_sent_queue(const fmq_sent *sent);

/** Its place in the queue; of a batch that of the first message; -1 of NULL. */
int64_t fmq_sent_queue_offset(const fmq_sent *sent);

/** All of it in a line, for logs. Valid as long as the result. */
const char *fmq_sent_line(const fmq_sent *sent);

/** Frees a result. NULL is fine; that of a callback is left alone. */
void fmq_sent_free(fmq_sent *sent);

/** Makes options that change nothing. */
fmq_error *fmq_send_options_new(fmq_send_options **options);

/** The time limit of the send, all attempts together, ms; below 0 the producer's sendMsgTimeout, the default. */
fmq_error *fmq_send_options_set_timeout(fmq_send_options *options, int64_t timeout_ms);

/** To this queue; it has the topic of the message. */
fmq_error *fmq_send_options_set_queue(fmq_send_options *options, const fmq_queue *queue);

/** To the queue of all messages with this key, which the message carries from then on. */
fmq_error *fmq_send_options_set_sharding_key(fmq_send_options *options, const char *key);

/** To the queue of a key, the one that Apache's Java client chooses for it too; the message does not carry the key. */
fmq_error *fmq_send_options_select_by_hash(fmq_send_options *options,
                                           const char *key);

/** To any queue. */
fmq_error *fmq_send_options_select_by_random(fmq_send_options *options);

/** To brokers in these machine rooms, separated by commas, in turn. A broker's room is what stands before @ in its name. */
fmq_error *fmq_send_options_select_by_machine_room(fmq_send_options *options,
                                                   const char *rooms);

/** To the queue that choose says. user_data is given back when neither the options nor a send have it any more. */
fmq_error *fmq_send_options_select_own(fmq_send_options *options,
                                       fmq_choose choose,
                                       void *user_data,
                                       fmq_free_user_data free_user_data);

/** Frees options. NULL is fine. */
void fmq_send_options_free(fmq_send_options *options);

/* Producers ----------------------------------------------------------------------------------------------------- */

/**
 * Gets the result of a send: sent, or error if it failed; the other one is NULL. Both are valid during the call. Runs
 * on a callback thread of the client, and may call everything, also send again and close. Called at most once: never after
 * the producer was closed.
 */
typedef void (*fmq_send_callback)(const fmq_sent *sent, const fmq_error *error, void *user_data);

/** Gets the reply to a request, or the error if there is none; as fmq_send_callback. */
typedef void (*fmq_request_callback)(const fmq_stored_message *reply, const fmq_error *error, void *user_data);

/**
 * Makes a producer of a group. group may be NULL if the options have producerGroup, options if nothing is set;
 * docs/client.md lists its keys. To be freed with fmq_producer_free.
 */
fmq_error *fmq_producer_new(fmq_instance *instance,
                            const char *group,
                            const fmq_options *options,
                            fmq_producer **producer);

/**
 * Sends a message and waits until it is stored, at most timeout_ms with all attempts (below 0: sendMsgTimeout). sent
 * may be NULL; what it gets is to be freed with fmq_sent_free. A message whose send timed out may be stored all the same.
 */
fmq_error *fmq_producer_send(fmq_producer *producer,
                             const fmq_message *message,
                             int64_t timeout_ms,
                             fmq_sent **sent);

/** As fmq_producer_send, with options, which may be NULL. */
fmq_error *fmq_producer_send_with(fmq_producer *producer,
                                  const fmq_message *message,
                                  const fmq_send_options *options,
                                  fmq_sent **sent);

/**
 * Sends a message and returns at once; the callback gets the result. Unlike with the callback, an error that is returned
 * is one of the arguments. At most backPressureForAsyncSendNum sends with backPressureForAsyncSendSize bytes are under
 * way; a further one waits here for room, within its time limit. In a callback it does not wait. user_data is given back
 * with free_user_data (may be NULL) after the callback, or as soon as it is certain that there will be none.
 */
fmq_error *fmq_producer_send_callback(fmq_producer *producer,
                                      const fmq_message *message,
                                      const fmq_send_options *options,
                                      fmq_send_callback callback,
                                      void *user_data,
                                      fmq_free_user_data free_user_data);

/**
 * Sends a message without asking for an answer, and returns when it is on its way: for what may be lost. options may be
 * NULL.
 */
fmq_error *fmq_producer_send_oneway(fmq_producer *producer,
                                    const fmq_message *message,
                                    const fmq_send_options *options);

/**
 * Sends messages of one topic together, into one queue side by side: all are stored or none. Together they may be as large
 * as one message may, 4 MiB by default. options and sent may be NULL; a selector sees the first message.
 */
fmq_error *fmq_producer_send_batch(fmq_producer *producer,
                                   const fmq_batch *batch,
                                   const fmq_send_options *options,
                                   fmq_sent **sent);

/** As fmq_producer_send_batch, but returns at once, as fmq_producer_send_callback does. */
fmq_error *fmq_producer_send_batch_callback(fmq_producer *producer,
                                            const fmq_batch *batch,
                                            const fmq_send_options *options,
                                            fmq_send_callback callback,
                                            void *user_data,
                                            fmq_free_user_data free_user_data);

/**
 * Sends a list of any length as batches of about 1 MiB, into one queue, in its order. stored (may be NULL) gets how many
 * messages are stored, also of a list whose end failed; each batch has the time sendMsgTimeout.
 */
fmq_error *fmq_producer_send_split(fmq_producer *producer,
                                   const fmq_batch *batch,
                                   size_t *stored);

/**
 * Sends a message and waits for the reply to it, which a consumer makes with fmq_producer_reply; at most timeout_ms,
 * below 0 as 3000. The reply is to be freed with fmq_stored_message_free.
 */
fmq_error *fmq_producer_request(fmq_producer *producer,
                                const fmq_message *message,
                                int64_t timeout_ms,
                                fmq_stored_message **reply);

/**
 * As fmq_producer_request, but returns at once; the callback gets the reply. user_data as with
 * fmq_producer_send_callback.
 */
fmq_error *fmq_producer_request_callback(fmq_producer *producer,
                                         const fmq_message *message,
                                         int64_t timeout_ms,
                                         fmq_request_callback callback,
                                         void *user_data,
                                         fmq_free_user_data free_user_data);

/** Sends the reply to a request that a consumer got. sent may be NULL. */
fmq_error *fmq_producer_reply(fmq_producer *producer,
                              const fmq_stored_message *request,
                              const void *body,
                              size_t length,
                              fmq_sent **sent);

/** The queues of a topic that can be sent to, by broker and number; to be freed with fmq_queues_free. */
fmq_error *fmq_producer_queues(fmq_producer *producer, const char *topic, fmq_queues **queues);

/** The group. Valid until the producer is freed. */
const char *fmq_producer_group(const fmq_producer *producer);

/** Sends with callback that are under way, running callbacks included. */
size_t fmq_producer_sends_in_flight(const fmq_producer *producer);

/**
 * Takes no further sends, waits for those under way and for their callbacks, at most timeout_ms (below 0: 10 s), and
 * leaves the group. Closing again is fine. In a callback it does not wait, and no further callback begins.
 */
fmq_error *fmq_producer_close(fmq_producer *producer,
                              int64_t timeout_ms);

/** Closes a producer, waiting as fmq_producer_close with -1 does, and ends the handle. NULL and a handle that was freed are fine. */
void fmq_producer_free(fmq_producer *producer);

/* A queue in the process, by itself ----------------------------------------------------------------------------- */

/**
 * Makes an appender for a queue, counted from 0, of a topic that is there. Of an instance that fmq_connect made none can be
 * had. To be freed with fmq_appender_free.
 */
fmq_error *fmq_appender_new(fmq_instance *instance,
                            const char *topic,
                            int32_t queue_id,
                            fmq_appender **appender);

/**
 * Stores a message that is nothing but its body, of length bytes. Its number in the queue goes to offset, which may be
 * NULL. When it fails nothing is stored, with two exceptions under SYNC_FLUSH: with FMQ_TIMEOUT it is, and not known to be
 * on the disk in time; with FMQ_NOT_WRITABLE the disk may have refused it when it was in the log already, and a restart
 * may find it.
 */
fmq_error *fmq_appender_append(fmq_appender *appender,
                               const void *body,
                               size_t length,
                               int64_t *offset);

/**
 * Stores count messages that are nothing but their bodies, one behind the other, all or none; together the bodies may have
 * maxMessageSize bytes. The number of the first goes to offset, which may be NULL. Fails as fmq_appender_append.
 */
fmq_error *fmq_appender_append_batch(fmq_appender *appender,
                                     const void *const *bodies,
                                     const size_t *lengths,
                                     size_t count,
                                     int64_t *offset);

/** Stores a message with its tag, keys, properties and flag; its topic is the appender's. As fmq_appender_append. */
fmq_error *fmq_appender_append_message(fmq_appender *appender,
                                       const fmq_message *message,
                                       int64_t *offset);

/** Frees an appender. NULL is fine. What it stored stays. */
void fmq_appender_free(fmq_appender *appender);

/**
 * Makes a reader of a queue, counted from 0, of a topic that is there, from an offset on. Of an instance that fmq_connect
 * made none can be had. To be freed with fmq_reader_free.
 */
fmq_error *fmq_reader_new(fmq_instance *instance,
                          const char *topic,
                          int32_t queue_id,
                          int64_t offset,
                          fmq_reader **reader);

/**
 * Copies the body of the next message to buffer, which has room for capacity bytes (NULL if that is 0). length gets
 * its bytes and offset, which may be NULL, its place in the queue; that is -1 if there is no message for now. If the
 * buffer is too small the call fails with FMQ_INVALID_ARGUMENT, length says what it takes, and the same message comes
 * next.
 */
fmq_error *fmq_reader_read(fmq_reader *reader,
                           void *buffer,
                           size_t capacity,
                           size_t *length,
                           int64_t *offset);

/**
 * Goes on from an offset. If it is not there any more, the first message that is comes next; if it is not there yet,
 * nothing comes until it is.
 */
fmq_error *fmq_reader_seek(fmq_reader *reader,
                           int64_t offset);

/** The offset from which on the next message is looked for; -1 of NULL. */
int64_t fmq_reader_offset(const fmq_reader *reader);

/** Frees a reader. NULL is fine. */
void fmq_reader_free(fmq_reader *reader);

/* Transactions -------------------------------------------------------------------------------------------------- */

/** How a local transaction ended. */
enum fmq_transaction_state {
  /** It is done: consumers get the message. */
  FMQ_COMMIT = 0,
  /** It is not done and never will be: nobody gets the message. */
  FMQ_ROLLBACK = 1,
  /** Not known yet: the broker asks again later. */
  FMQ_UNKNOWN = 2,
};

/**
 * Runs the local transaction of a message whose half the broker has, and answers one of fmq_transaction_state (anything
 * else is FMQ_UNKNOWN). The id is the one that fmq_transaction_check gets with the message. Runs on the sending thread.
 */
typedef int32_t (*fmq_transaction_execute)(const fmq_message *message,
                                           const char *transaction_id,
                                           void *user_data);

/**
 * Answers how the transaction of a message ended, whose id is fmq_stored_message_id: one of fmq_transaction_state. The
 * message may have been sent by another producer of the group, which is gone. Runs on threads of the producer's own, at
 * most checkThreadPoolMaxSize at a time.
 */
typedef int32_t (*fmq_transaction_check)(const fmq_stored_message *message, void *user_data);

/**
 * Makes a producer of a group, whose two callbacks share user_data; that is given back with free_user_data (may be
 * NULL) when the producer has ended. group may be NULL if the options have producerGroup. Brokers learn of it at once,
 * so that it can answer for others of its group before it sends anything.
 */
fmq_error *fmq_transaction_producer_new(fmq_instance *instance,
                                        const char *group,
                                        const fmq_options *options,
                                        fmq_transaction_execute execute,
                                        fmq_transaction_check check,
                                        void *user_data,
                                        fmq_free_user_data free_user_data,
                                        fmq_transaction_producer **producer);

/**
 * Sends the half of a message, runs the local transaction if the broker has it, and tells the broker how that ended, which
 * state gets as well: one of fmq_transaction_state. That the broker could not be told is no error: it asks. sent and
 * state may be NULL. Waits at most sendMsgTimeout for the broker, and for the transaction as long as it takes.
 */
fmq_error *fmq_transaction_producer_send(fmq_transaction_producer *producer,
                                         const fmq_message *message,
                                         fmq_sent **sent,
                                         int32_t *state);

/**
 * As fmq_transaction_producer_send, but runs execute with user_data as the local transaction, before it returns. How
 * it ended is still asked of the producer's check later.
 */
fmq_error *fmq_transaction_producer_send_with_executor(fmq_transaction_producer *producer,
                                                       const fmq_message *message,
                                                       fmq_transaction_execute execute,
                                                       void *user_data,
                                                       fmq_sent **sent,
                                                       int32_t *state);

/** As fmq_producer_close; questions of brokers that wait are dropped, as brokers ask again. */
fmq_error *fmq_transaction_producer_close(fmq_transaction_producer *producer, int64_t timeout_ms);

/**
 * Closes a producer as fmq_transaction_producer_close with -1 does, and ends the handle. NULL and a handle that was
 * freed are fine.
 */
void fmq_transaction_producer_free(fmq_transaction_producer *producer);

/* Consumers that call a listener -------------------------------------------------------------------------------- */

/** How a listener ended. Whatever else it answers counts as FMQ_LATER. */
enum fmq_consume_status {
  /** The messages are consumed. */
  FMQ_SUCCESS = 0,
  /** They come again later; of an ordered listener after a pause, and nothing else of the queue before them. */
  FMQ_LATER = 1,
};

/**
 * Chooses the queues of a topic that are this member's: adds them to own, which is lent, with fmq_queues_add. Gets the group, the own
 * client id, all queues and the client ids of all members (count of them), both sorted. All members have to come to
 * shares that fit together. Runs on a thread of the client, and must not wait.
 */
typedef void (*fmq_allocate)(const char *group,
                             const char *client_id,
                             const fmq_queues *queues,
                             const char *const *members,
                             size_t count,
                             fmq_queues *own,
                             void *user_data);

/**
 * Consumes messages of one queue, consumeMessageBatchMaxSize at most, and answers one of fmq_consume_status. Runs on
 * threads of the consumer's own, consumeThreadMin at a time, with no lock held: it may call everything, also close and
 * free its own consumer.
 */
typedef int32_t (*fmq_listener)(const fmq_messages *messages,
                                const fmq_consume_context *context,
                                void *user_data);

/** Consumes one message, and answers one of fmq_consume_status; as fmq_listener. */
typedef int32_t (*fmq_one_listener)(const fmq_stored_message *message,
                                    const fmq_consume_context *context,
                                    void *user_data);

/**
 * Consumes messages of one queue in their order, one call at a time for each queue, and answers one of
 * fmq_consume_status; as fmq_listener.
 */
typedef int32_t (*fmq_orderly_listener)(const fmq_messages *messages,
                                        const fmq_orderly_context *context,
                                        void *user_data);

/**
 * Has allocate say how the group's members share the queues, in place of allocateMessageQueueStrategy. All members need
 * the same. user_data is given back with free_user_data (may be NULL) when the consumer is freed or gets another one.
 */
fmq_error *fmq_push_consumer_allocate_by(fmq_push_consumer *consumer,
                                         fmq_allocate allocate,
                                         void *user_data,
                                         fmq_free_user_data free_user_data);

/** The queue that all messages of the call come from. Valid during the call. */
const fmq_queue *fmq_consume_context_queue(const fmq_consume_context *context);

/**
 * Only the messages up to the one with this index, counted from 0, are consumed; those behind it come again later.
 * Counts if the listener answers FMQ_SUCCESS; without it all are consumed.
 */
fmq_error *fmq_consume_context_set_ack_index(const fmq_consume_context *context,
                                             size_t index);

/**
 * When messages come again: after the time of this delay level; 0, the default: later each time as the broker chooses;
 * below 0: never, they go to the dead letters at once.
 */
fmq_error *fmq_consume_context_set_delay_level(const fmq_consume_context *context,
                                               int32_t level);

/** The queue that all messages of the call come from. Valid during the call. */
const fmq_queue *fmq_orderly_context_queue(const fmq_orderly_context *context);

/** How long the queue pauses if the listener answers FMQ_LATER: 10 ms to 30 s; otherwise suspendCurrentQueueTimeMillis. */
fmq_error *fmq_orderly_context_set_suspend_time(const fmq_orderly_context *context,
                                                uint32_t time_ms);

/**
 * Makes a push consumer of a group. group may be NULL if the options have consumerGroup, options if nothing is set;
 * docs/client.md lists its keys. It does nothing before fmq_push_consumer_start. To be freed with
 * fmq_push_consumer_free.
 */
fmq_error *fmq_push_consumer_new(fmq_instance *instance,
                                 const char *group,
                                 const fmq_options *options,
                                 fmq_push_consumer **consumer);

/**
 * Consumes a topic: * for all of it, or TagA || TagB. Replaces what was wanted of the topic before. May be called
 * before the start and after. All members of a group must subscribe to the same.
 */
fmq_error *fmq_push_consumer_subscribe(fmq_push_consumer *consumer,
                                       const char *topic,
                                       const char *expression);

/**
 * As fmq_push_consumer_subscribe, with an SQL92 expression over the properties, such as a > 5 AND b = 'x'
 * (docs/filters.md).
 */
fmq_error *fmq_push_consumer_subscribe_sql(fmq_push_consumer *consumer,
                                           const char *topic,
                                           const char *expression);

/** Does not consume a topic any more. */
fmq_error *fmq_push_consumer_unsubscribe(fmq_push_consumer *consumer, const char *topic);

/**
 * Sets the listener. A consumer has one. user_data is given back with free_user_data (may be NULL) when it is not
 * called any more, or at once if it is not taken.
 */
fmq_error *fmq_push_consumer_listen(fmq_push_consumer *consumer,
                                    fmq_listener listener,
                                    void *user_data,
                                    fmq_free_user_data free_user_data);

/** Sets a listener for single messages, as fmq_push_consumer_listen. */
fmq_error *fmq_push_consumer_listen_one(fmq_push_consumer *consumer,
                                        fmq_one_listener listener,
                                        void *user_data,
                                        fmq_free_user_data free_user_data);

/** Sets an ordered listener, as fmq_push_consumer_listen. */
fmq_error *fmq_push_consumer_listen_orderly(fmq_push_consumer *consumer,
                                            fmq_orderly_listener listener,
                                            void *user_data,
                                            fmq_free_user_data free_user_data);

/** Joins the group and begins to consume. A second call does nothing. */
fmq_error *fmq_push_consumer_start(fmq_push_consumer *consumer);

/** Calls the listener no more until fmq_push_consumer_resume; calls that run go on. */
fmq_error *fmq_push_consumer_suspend(fmq_push_consumer *consumer);

/** Ends a suspension. */
fmq_error *fmq_push_consumer_resume(fmq_push_consumer *consumer);

/** Whether it is suspended. */
bool fmq_push_consumer_is_suspended(const fmq_push_consumer *consumer);

/** How many calls of the listener may run at a time from now on, up to consumeThreadMax. */
fmq_error *fmq_push_consumer_update_threads(fmq_push_consumer *consumer, size_t count);

/** The queues that are this consumer's at present; to be freed with fmq_queues_free. */
fmq_error *fmq_push_consumer_queues(fmq_push_consumer *consumer, fmq_queues **queues);

/** The group. Valid until the consumer is freed. */
const char *fmq_push_consumer_group(const fmq_push_consumer *consumer);

/**
 * Ends it: no further call of the listener begins; those that run are waited for, at most timeout_ms (below 0:
 * awaitTerminationMillisWhenShutdown); offsets are stored and the group is left. In a callback it starts the end and
 * returns at once. Closing again is fine.
 */
fmq_error *fmq_push_consumer_close(fmq_push_consumer *consumer,
                                   int64_t timeout_ms);

/**
 * Closes a consumer as fmq_push_consumer_close with -1 does, and ends the handle; also from its own listener. NULL and a
 * handle that was freed are fine.
 */
void fmq_push_consumer_free(fmq_push_consumer *consumer);

/* Consumers that are asked -------------------------------------------------------------------------------------- */

/** How a single pull ended. */
enum fmq_pull_status {
  /** There are messages. */
  FMQ_PULL_FOUND = 0,
  /** The queue ends at the offset. */
  FMQ_PULL_NO_NEW_MESSAGES = 1,
  /** There are messages, and none that is wanted up to fmq_pulled_next. */
  FMQ_PULL_NO_MATCHED = 2,
  /** The queue has no such offset; fmq_pulled_next is the nearest that it has. */
  FMQ_PULL_OFFSET_ILLEGAL = 3,
};

/**
 * Is told that there may be something to poll. Runs on a callback thread of the client; it must not wait, as callbacks of
 * sends wait for it, but may poll with 0.
 */
typedef void (*fmq_ready_callback)(void *user_data);

/** As fmq_push_consumer_allocate_by. */
fmq_error *fmq_consumer_allocate_by(fmq_consumer *consumer,
                                    fmq_allocate allocate,
                                    void *user_data,
                                    fmq_free_user_data free_user_data);

/**
 * Makes a pull consumer of a group. With group NULL, and no consumerGroup in the options, it reads all queues for
 * itself. options may be NULL; docs/client.md lists its keys. To be freed with fmq_consumer_free.
 */
fmq_error *fmq_consumer_new(fmq_instance *instance,
                            const char *group,
                            const fmq_options *options,
                            fmq_consumer **consumer);

/**
 * Consumes a topic: * for all of it, or TagA || TagB. Replaces what was wanted of the topic before. All members of a
 * group must subscribe to the same. Not together with fmq_consumer_assign.
 */
fmq_error *fmq_consumer_subscribe(fmq_consumer *consumer,
                                  const char *topic,
                                  const char *expression);

/** As fmq_consumer_subscribe, with an SQL92 expression over the properties (docs/filters.md). */
fmq_error *fmq_consumer_subscribe_sql(fmq_consumer *consumer, const char *topic, const char *expression);

/** Does not consume a topic any more. */
fmq_error *fmq_consumer_unsubscribe(fmq_consumer *consumer, const char *topic);

/**
 * Consumes exactly these queues, whoever else has them; replaces those of an earlier call. With a group it begins where
 * the group has stored its progress, and stores it there. Not together with fmq_consumer_subscribe.
 */
fmq_error *fmq_consumer_assign(fmq_consumer *consumer,
                               const fmq_queues *queues);

/** Joins the group and begins to fetch, as the first poll would. */
fmq_error *fmq_consumer_start(fmq_consumer *consumer);

/**
 * The next messages, all of one queue, in their order, at most pollBatch; an empty list if none came within timeout_ms.
 * 0 does not wait; below 0 waits until some come or the consumer is closed. The first call starts the consumer. With
 * autoCommit, the default, it commits what the polls before it returned. The list is to be freed with
 * fmq_messages_free.
 *
 * Errors do not end the consumer, but for FMQ_CLOSED: the next call goes on.
 */
fmq_error *fmq_consumer_poll(fmq_consumer *consumer,
                             int64_t timeout_ms,
                             fmq_messages **messages);

/** As fmq_consumer_poll, with at most most messages. */
fmq_error *fmq_consumer_poll_at_most(fmq_consumer *consumer,
                                     size_t most,
                                     int64_t timeout_ms,
                                     fmq_messages **messages);

/**
 * A file descriptor for poll(), epoll and event loops: it can be read while there may be something to poll. When it can,
 * call fmq_consumer_poll with 0, once or until the list is empty; it can be read until a poll came back empty. Do not
 * read or close it. It starts the consumer, and is valid until that is freed. FMQ_UNSUPPORTED where the system has no
 * eventfd.
 */
fmq_error *fmq_consumer_fd(fmq_consumer *consumer,
                           int32_t *fd);

/**
 * Has a callback called, in place of the one before, when a poll would not wait any more: once until polls have emptied
 * what there is, and when the consumer is closed. For event loops that can be woken. It starts the consumer. user_data
 * is given back with free_user_data (may be NULL) when the consumer is closed or another one is set.
 */
fmq_error *fmq_consumer_on_ready(fmq_consumer *consumer,
                                 fmq_ready_callback callback,
                                 void *user_data,
                                 fmq_free_user_data free_user_data);

/**
 * All messages that were polled so far are consumed. Brokers are told within seconds; fmq_consumer_flush tells them at
 * once.
 */
fmq_error *fmq_consumer_commit(fmq_consumer *consumer);

/** What is before offset in a queue is consumed. */
fmq_error *fmq_consumer_commit_queue(fmq_consumer *consumer, const fmq_queue *queue, int64_t offset);

/** Stores what was committed, and waits until it is. */
fmq_error *fmq_consumer_flush(fmq_consumer *consumer);

/** How far the group has come in a queue, as it is stored; -1 if it has not consumed there yet. */
fmq_error *fmq_consumer_committed(fmq_consumer *consumer, const fmq_queue *queue, int64_t *offset);

/** Goes on with a queue at offset: what was fetched is forgotten. Counts as committed up to there. */
fmq_error *fmq_consumer_seek(fmq_consumer *consumer, const fmq_queue *queue, int64_t offset);

/** Goes on with the first message that the queue still has. */
fmq_error *fmq_consumer_seek_to_begin(fmq_consumer *consumer, const fmq_queue *queue);

/** Goes on with what is stored from now on. */
fmq_error *fmq_consumer_seek_to_end(fmq_consumer *consumer, const fmq_queue *queue);

/** Goes on with the first message stored at a time, ms since 1970, or later. */
fmq_error *fmq_consumer_seek_to_time(fmq_consumer *consumer, const fmq_queue *queue, int64_t time_ms);

/** The offset of the first message of a queue stored at a time, ms since 1970, or later; the end if there is none. */
fmq_error *fmq_consumer_offset_for_time(fmq_consumer *consumer,
                                        const fmq_queue *queue,
                                        int64_t time_ms,
                                        int64_t *offset);

/**
 * Fetches and hands out nothing of these queues until fmq_consumer_resume; those that are not this consumer's are passed
 * over.
 */
fmq_error *fmq_consumer_pause(fmq_consumer *consumer,
                              const fmq_queues *queues);

/** Ends a pause of these queues. */
fmq_error *fmq_consumer_resume(fmq_consumer *consumer, const fmq_queues *queues);

/** Whether everything has been polled that the queues held when they were last heard of. */
bool fmq_consumer_is_caught_up(const fmq_consumer *consumer);

/** The queues that are this consumer's at present; to be freed with fmq_queues_free. */
fmq_error *fmq_consumer_queues(fmq_consumer *consumer, fmq_queues **queues);

/** All queues of a topic, to be chosen from for fmq_consumer_assign; to be freed with fmq_queues_free. */
fmq_error *fmq_consumer_topic_queues(fmq_consumer *consumer, const char *topic, fmq_queues **queues);

/** The group; NULL if it consumes for itself. Valid until the consumer is freed. */
const char *fmq_consumer_group(const fmq_consumer *consumer);

/**
 * Stores what was committed (with autoCommit all that was polled) and leaves the group, within timeout_ms (below 0:
 * awaitTerminationMillisWhenShutdown). Polls that wait end with FMQ_CLOSED. Closing again is fine.
 */
fmq_error *fmq_consumer_close(fmq_consumer *consumer,
                              int64_t timeout_ms);

/**
 * Closes a consumer as fmq_consumer_close with -1 does, and ends the handle; also while other threads poll. NULL and a
 * handle that was freed are fine.
 */
void fmq_consumer_free(fmq_consumer *consumer);

/**
 * Asks a broker once for up to most messages of a queue from offset on, of those whose tag expression names (* for
 * all). If there is nothing, the broker waits for a message up to timeout_ms (below 0 as 0). Neither subscribes nor
 * commits; no start is needed. The result is to be freed with fmq_pulled_free.
 */
fmq_error *fmq_consumer_pull(fmq_consumer *consumer,
                             const fmq_queue *queue,
                             const char *expression,
                             int64_t offset,
                             uint32_t most,
                             int64_t timeout_ms,
                             fmq_pulled **pulled);

/** How it ended: one of fmq_pull_status; -1 of NULL. */
int32_t fmq_pulled_status(const fmq_pulled *pulled);

/** The messages. Valid as long as the result. */
const fmq_messages *fmq_pulled_messages(const fmq_pulled *pulled);

/** The offset to pull from next; -1 of NULL. */
int64_t fmq_pulled_next(const fmq_pulled *pulled);

/** The first offset of the queue; -1 of NULL. */
int64_t fmq_pulled_min(const fmq_pulled *pulled);

/** The end of the queue: the offset that its next message gets; -1 of NULL. */
int64_t fmq_pulled_max(const fmq_pulled *pulled);

/** Frees a result with its messages. NULL is fine. */
void fmq_pulled_free(fmq_pulled *pulled);

/* For operators ------------------------------------------------------------------------------------------------- */

/** Places that a group can be moved to, besides a time. */
enum fmq_start_at {
  /** The first message that each queue still has. */
  FMQ_BEGIN = -2,
  /** What is sent from now on. */
  FMQ_END = -1,
};

/** The topics of users, as an array of names. This text and those below are to be freed with fmq_string_free. */
fmq_error *fmq_admin_topics(fmq_instance *instance,
                            char **json);

/** All topics, those of the system too, as an array of names. */
fmq_error *fmq_admin_all_topics(fmq_instance *instance, char **json);

/**
 * A topic with its settings and how much is in it: topic, brokers, queues (brokerName, queueId, minOffset, maxOffset,
 * lastTimestamp), messages.
 */
fmq_error *fmq_admin_topic(fmq_instance *instance,
                           const char *topic,
                           char **json);

/**
 * Makes a topic on every master, or changes one that is there. Options, NULL for the defaults: readQueueNums and
 * writeQueueNums (1 to 65536, 4), perm (4 read, 2 write, 6 both, the default), order (true or false, the default).
 */
fmq_error *fmq_admin_create_topic(fmq_instance *instance,
                                  const char *topic,
                                  const fmq_options *options);

/** Deletes a topic with its messages, at all brokers and name servers. */
fmq_error *fmq_admin_delete_topic(fmq_instance *instance, const char *topic);

/** The consumer groups, as an array of names. */
fmq_error *fmq_admin_groups(fmq_instance *instance, char **json);

/**
 * How far a group has come: queues (topic, brokerName, queueId, brokerOffset, consumerOffset, lag, lastTimestamp), lag,
 * consumeTps.
 */
fmq_error *fmq_admin_progress(fmq_instance *instance,
                              const char *group,
                              char **json);

/** Who consumes as a group: members (clientId, address, language, version), subscriptions, messageModel and more. */
fmq_error *fmq_admin_members(fmq_instance *instance,
                             const char *group,
                             char **json);

/**
 * Moves a group in a topic, whether its members run or not: to a time, ms since 1970, or one of fmq_start_at. The answer
 * is an array of queues (topic, brokerName, queueId, offset).
 */
fmq_error *fmq_admin_reset_offsets(fmq_instance *instance,
                                   const char *group,
                                   const char *topic,
                                   int64_t time_ms,
                                   char **json);

/** Deletes a group with its progress, at all brokers. */
fmq_error *fmq_admin_delete_group(fmq_instance *instance, const char *group);

/** How the cluster is: nameServers, brokers (cluster, brokerName, brokerId, address, version, runtime, error). */
fmq_error *fmq_admin_cluster(fmq_instance *instance, char **json);

/* Servers ------------------------------------------------------------------------------------------------------- */

/**
 * Starts a name server and a broker in one, with the messages in a directory (path NULL: in memory). They listen as the
 * option listen says: true (127.0.0.1 with Apache's ports 9876 and 10911, the default), free, or
 * host:port of the name server:port of the broker. The other options are those of fmq_open; NULL for none. Returns when
 * both accept and the broker is registered. To be freed with fmq_server_free.
 */
fmq_error *fmq_server_start(const char *path,
                            const fmq_options *options,
                            fmq_server **server);

/** Starts a name server alone, as its options say (docs/settings.md: listenPort, bindAddress, ...); NULL for the defaults. */
fmq_error *fmq_server_start_namesrv(const fmq_options *options,
                                    fmq_server **server);

/**
 * Starts a broker alone, as its options say (docs/settings.md: storePathRootDir, listenPort, namesrvAddr, ...); NULL for
 * the defaults. It need not find its name servers at once.
 */
fmq_error *fmq_server_start_broker(const fmq_options *options,
                                   fmq_server **server);

/** The ports of name server and broker, 0 for what is not there. Either output may be NULL. */
fmq_error *fmq_server_ports(const fmq_server *server, uint16_t *name_server_port, uint16_t *broker_port);

/** Where clients of this machine find the name server, for fmq_connect. Valid until the server is freed. */
const char *fmq_server_name_servers(const fmq_server *server);

/**
 * Orderly end: goodbye to the name servers, answers for what is in flight (3 s at most), everything saved. A server of
 * both ends within timeout_ms, below 0: 30 s. Stopping again is fine.
 */
fmq_error *fmq_server_stop(fmq_server *server,
                           int64_t timeout_ms);

/** Stops a server as fmq_server_stop with -1 does, and ends the handle. NULL and a handle that was freed are fine. */
void fmq_server_free(fmq_server *server);

#ifdef __cplusplus
}
#endif

#endif
