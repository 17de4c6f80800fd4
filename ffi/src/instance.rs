//! `fmq_instance`: a client, and with `fmq_open` the server in this process that it uses.

use std::ffi::{c_char, c_void, CString};
use std::ptr::null;

use ferromq::Instance;

use crate::error::fmq_error;
use crate::guard::{bytes, c_string, from_c, guard, look, output, output_or_null, text, text_or_null, time};
use crate::handle::{object, share, thing_or_null, unshare, Shared};
use crate::options::{fmq_options, Pairs};
use crate::queue::{fmq_queue, fmq_queues, list, queue_of};
use crate::stored::{self, fmq_messages, fmq_stored_message, owned};

/// A client of a cluster, or a server of its own in this process with its client. Producers and consumers are made from
/// it and share its connections, routes and threads: make one a process and keep it. Threads may share it.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_instance {
    _opaque: [u8; 0],
}

impl Shared for fmq_instance {
    type Object = Client;
    const NAME: &'static str = "fmq_instance";
}

/// An instance with its texts as C reads them.
pub struct Client {
    instance: Instance,
    client_id: CString,
    name_servers: CString,
}

impl Client {
    fn new(instance: Instance) -> Client {
        let (client_id, name_servers) = (c_string(instance.client_id()), c_string(instance.name_servers()));
        Client { instance, client_id, name_servers }
    }

    pub(crate) fn instance(&self) -> &Instance {
        &self.instance
    }
}

/// Opens a durable message queue in a directory: name server, broker and client in this process. No socket is opened
/// unless the options say `listen`, and no other process can have the directory meanwhile. With `path` NULL messages are
/// kept in memory, unless the options have a `path`. `options` may be NULL: `listen` (true, free, or
/// host:port of the name server:port of the broker), and the keys of broker, name server and client (docs/settings.md,
/// docs/client.md). To be freed with `fmq_instance_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_open(
    path: *const c_char,
    options: *const fmq_options,
    instance: *mut *mut fmq_instance,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(instance, "instance"))?;
        let (path, options) = from_c!((text_or_null(path, "path")?, thing_or_null(options, "options")?));
        *place = share(Client::new(ferromq::open_with(Pairs::open(options, path)?)?))?;
        Ok(())
    })
}

/// Makes a client of a cluster, FerroMQ's or Apache's, by its name servers: host:port, several separated by semicolons.
/// With NULL or "" those of the options (namesrvAddr) or of the environment variable NAMESRV_ADDR. `options` may be NULL;
/// docs/client.md lists the keys of clients. Connects when first needed. To be freed with `fmq_instance_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_connect(
    name_servers: *const c_char,
    options: *const fmq_options,
    instance: *mut *mut fmq_instance,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(instance, "instance"))?;
        let name_servers = from_c!(text_or_null(name_servers, "name_servers"))?.unwrap_or_default();
        let options = Pairs::connect(from_c!(thing_or_null(options, "options"))?, name_servers)?;
        *place = share(Client::new(ferromq::connect_with(options)?))?;
        Ok(())
    })
}

fn with(
    instance: *const fmq_instance,
    body: impl FnOnce(&Instance) -> ferromq::Result<()>,
) -> *mut fmq_error {
    guard(|| body(&object(instance, "instance")?.instance))
}

/// Makes a topic with this many queues on every master, or changes the number of one that is there. Like all questions to
/// brokers below it waits at most mqClientApiTimeout (3 s) for each of them.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_create_topic(
    instance: *mut fmq_instance,
    topic: *const c_char,
    queues: i32,
) -> *mut fmq_error {
    with(instance, |instance| instance.create_topic(from_c!(text(topic, "topic"))?, queues))
}

/// The queues of a topic; to be freed with `fmq_queues_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_queues(
    instance: *mut fmq_instance,
    topic: *const c_char,
    queues: *mut *mut fmq_queues,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(queues, "queues"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = list(instance.queues(from_c!(text(topic, "topic"))?)?);
        Ok(())
    })
}

/// The message at a place, by `fmq_sent_offset_id` or `fmq_stored_message_offset_id`; to be freed with
/// `fmq_stored_message_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_message_by_id(
    instance: *mut fmq_instance,
    offset_id: *const c_char,
    message: *mut *mut fmq_stored_message,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(message, "message"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = owned(instance.message_by_id(from_c!(text(offset_id, "offset_id"))?)?);
        Ok(())
    })
}

/// The message with this unique id: `fmq_sent_message_id`, or `fmq_error_message_id` of a send whose end is not known; to
/// be freed with `fmq_stored_message_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_message_by_unique_key(
    instance: *mut fmq_instance,
    topic: *const c_char,
    message_id: *const c_char,
    message: *mut *mut fmq_stored_message,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(message, "message"))?;
        let instance = &object(instance, "instance")?.instance;
        let (topic, id) = from_c!((text(topic, "topic")?, text(message_id, "message_id")?));
        *place = owned(instance.message_by_unique_key(topic, id)?);
        Ok(())
    })
}

/// Messages that have this key among theirs and were stored between the times, ms since 1970: the oldest first, at most
/// `most`. To be freed with `fmq_messages_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_messages_by_key(
    instance: *mut fmq_instance,
    topic: *const c_char,
    key: *const c_char,
    most: usize,
    begin_ms: i64,
    end_ms: i64,
    messages: *mut *mut fmq_messages,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(messages, "messages"))?;
        let instance = &object(instance, "instance")?.instance;
        let (topic, key) = from_c!((text(topic, "topic")?, text(key, "key")?));
        *place = stored::list(instance.messages_by_key(topic, key, most, begin_ms, end_ms)?);
        Ok(())
    })
}

/// The offset of the first message that a queue still has.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_min_offset(
    instance: *mut fmq_instance,
    queue: *const fmq_queue,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(offset, "offset"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = instance.min_offset(queue_of(queue)?)?;
        Ok(())
    })
}

/// The offset that the next message of a queue gets.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_max_offset(
    instance: *mut fmq_instance,
    queue: *const fmq_queue,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(offset, "offset"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = instance.max_offset(queue_of(queue)?)?;
        Ok(())
    })
}

/// The offset of the first message of a queue that was stored at this time, ms since 1970, or later.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_search_offset(
    instance: *mut fmq_instance,
    queue: *const fmq_queue,
    time_ms: i64,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(offset, "offset"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = instance.search_offset(queue_of(queue)?, time_ms)?;
        Ok(())
    })
}

/// When the oldest message of a queue was stored, ms since 1970; -1 if the queue is empty.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_earliest_store_time(
    instance: *mut fmq_instance,
    queue: *const fmq_queue,
    time_ms: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(time_ms, "time_ms"))?;
        let instance = &object(instance, "instance")?.instance;
        *place = instance.earliest_store_time(queue_of(queue)?)?.unwrap_or(-1);
        Ok(())
    })
}

/// Gives the masters of a topic a filter function of a consumer group: a WebAssembly module, as docs/filters.md describes
/// it. No bytes take away the one that is there. `name` is for people.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_set_filter_function(
    instance: *mut fmq_instance,
    topic: *const c_char,
    group: *const c_char,
    name: *const c_char,
    module: *const c_void,
    length: usize,
) -> *mut fmq_error {
    with(instance, |instance| {
        let (topic, group) = from_c!((text(topic, "topic")?, text(group, "group")?));
        let (name, module) = from_c!((text(name, "name")?, bytes(module, length, "module")?));
        instance.set_filter_function(topic, group, name, module)
    })
}

/// What brokers know this client by. Valid until the instance is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_client_id(instance: *const fmq_instance) -> *const c_char {
    look(null(), || Ok(object(instance, "instance")?.client_id.as_ptr()))
}

/// The name servers, as host:port;host:port. Valid until the instance is freed.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_name_servers(instance: *const fmq_instance) -> *const c_char {
    look(null(), || Ok(object(instance, "instance")?.name_servers.as_ptr()))
}

/// The ports of name server and broker, if this instance listens; false otherwise. Either output may be NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_listening(
    instance: *const fmq_instance,
    name_server_port: *mut u16,
    broker_port: *mut u16,
) -> bool {
    look(false, || {
        let places = from_c!((output_or_null(name_server_port), output_or_null(broker_port)));
        let Some((name_server, broker)) = object(instance, "instance")?.instance.listening() else {
            return Ok(false);
        };
        if let Some(place) = places.0 {
            *place = name_server;
        }
        if let Some(place) = places.1 {
            *place = broker;
        }
        Ok(true)
    })
}

/// Ends everything in order, within `timeout_ms` (below 0: 30 s): producers and consumers (offsets are committed, groups
/// left), connections, threads, and the server in this process, whose store is brought to disk. What was made from it
/// answers FMQ_CLOSED afterwards and has still to be freed. No callback runs any more when it returns. In a callback it
/// starts the end and returns at once. Closing again is fine.
///
/// FMQ_TIMEOUT when a callback does not return in time; the rest is done when it does. FMQ_NOT_WRITABLE when the store
/// could not be brought to disk.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_close(instance: *mut fmq_instance, timeout_ms: i64) -> *mut fmq_error {
    with(instance, |instance| close(instance, timeout_ms))
}

fn close(instance: &Instance, timeout_ms: i64) -> ferromq::Result<()> {
    match time(timeout_ms) {
        Some(limit) => instance.close_within(limit),
        None => instance.close(),
    }
}

/// Closes an instance, waiting as `fmq_instance_close` with -1 does, and ends the handle: close it yourself to hear of
/// errors. NULL and a handle that was freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_instance_free(instance: *mut fmq_instance) {
    look((), || unshare(instance).map_or(Ok(()), |client| close(&client.instance, -1)));
}

/// Frees a text that the library gave to the caller, where its documentation says so. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_string_free(string: *mut c_char) {
    look((), || {
        if !string.is_null() {
            drop(from_c!(CString::from_raw(string)));
        }
        Ok(())
    });
}
