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
