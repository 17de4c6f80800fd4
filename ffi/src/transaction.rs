//! `fmq_transaction_producer`: sends messages that count once their transaction is committed.

use std::ffi::{c_char, c_void};

use ferromq::{
    Message, StoredMessage, TransactionListener, TransactionProducer, TransactionSent, TransactionState,
};

use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, look, output, output_or_null, text_or_null, time, unusable};
use crate::handle::{fmq_free_user_data, object, share, thing, thing_or_null, unshare, Shared, UserData};
use crate::instance::fmq_instance;
use crate::message::{fmq_message, lent};
use crate::options::{fmq_options, Pairs};
use crate::sent::{fmq_sent, keep};
use crate::stored::{self, fmq_stored_message};

/// Sends messages in transactions. Its group is no other producer's: brokers ask any member how a transaction ended.
/// Threads may share it.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_transaction_producer {
    _opaque: [u8; 0],
}

impl Shared for fmq_transaction_producer {
    type Object = TransactionProducer;
    const NAME: &'static str = "fmq_transaction_producer";
}

/// How a local transaction ended.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "names of the header")]
pub enum fmq_transaction_state {
    /// It is done: consumers get the message.
    FMQ_COMMIT = 0,
    /// It is not done and never will be: nobody gets the message.
    FMQ_ROLLBACK = 1,
    /// Not known yet: the broker asks again later.
    FMQ_UNKNOWN = 2,
}

impl From<TransactionState> for fmq_transaction_state {
    fn from(state: TransactionState) -> fmq_transaction_state {
        match state {
            TransactionState::Commit => fmq_transaction_state::FMQ_COMMIT,
            TransactionState::Rollback => fmq_transaction_state::FMQ_ROLLBACK,
            TransactionState::Unknown => fmq_transaction_state::FMQ_UNKNOWN,
        }
    }
}

/// What a callback answered; other numbers than those of the header are not known.
fn state(number: i32) -> TransactionState {
    match number {
        n if n == fmq_transaction_state::FMQ_COMMIT as i32 => TransactionState::Commit,
        n if n == fmq_transaction_state::FMQ_ROLLBACK as i32 => TransactionState::Rollback,
        _ => TransactionState::Unknown,
    }
}

/// Runs the local transaction of a message whose half the broker has, and answers one of `fmq_transaction_state` (anything
/// else is FMQ_UNKNOWN). The id is the one that `fmq_transaction_check` gets with the message. Runs on the sending thread.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_transaction_execute = Option<
    unsafe extern "C" fn(
        message: *const fmq_message,
        transaction_id: *const c_char,
        user_data: *mut c_void,
    ) -> i32,
>;

/// Answers how the transaction of a message ended, whose id is `fmq_stored_message_id`: one of `fmq_transaction_state`. The
/// message may have been sent by another producer of the group, which is gone. Runs on threads of the producer's own, at
/// most checkThreadPoolMaxSize at a time.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_transaction_check =
    Option<unsafe extern "C" fn(message: *const fmq_stored_message, user_data: *mut c_void) -> i32>;

struct Callbacks {
    execute: unsafe extern "C" fn(*const fmq_message, *const c_char, *mut c_void) -> i32,
    check: unsafe extern "C" fn(*const fmq_stored_message, *mut c_void) -> i32,
    user_data: UserData,
}

impl TransactionListener for Callbacks {
    fn execute(&self, message: &Message, transaction_id: &str) -> TransactionState {
        let (message, id) = (lent(message), c_string(transaction_id));
        state(from_c!((self.execute)(message.handle(), id.as_ptr(), self.user_data.pointer())))
    }

    fn check(&self, message: &StoredMessage) -> TransactionState {
        let message = stored::lent(message);
        state(from_c!((self.check)(message.handle(), self.user_data.pointer())))
    }
}

/// Makes a producer of a group, whose two callbacks share `user_data`; that is given back with `free_user_data` (may be
/// NULL) when the producer has ended. `group` may be NULL if the options have producerGroup. Brokers learn of it at once,
/// so that it can answer for others of its group before it sends anything.
#[no_mangle]
pub unsafe extern "C" fn fmq_transaction_producer_new(
    instance: *mut fmq_instance,
    group: *const c_char,
    options: *const fmq_options,
    execute: fmq_transaction_execute,
    check: fmq_transaction_check,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
    producer: *mut *mut fmq_transaction_producer,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let place = from_c!(output(producer, "producer"))?;
        let execute = execute.ok_or_else(|| unusable("execute", "is NULL"))?;
        let check = check.ok_or_else(|| unusable("check", "is NULL"))?;
        let group = from_c!(text_or_null(group, "group"))?;
        let options = Pairs::producer(from_c!(thing_or_null(options, "options"))?, group)?;
        let instance = object(instance, "instance")?;
        let callbacks = Callbacks { execute, check, user_data };
        *place = share(instance.instance().transaction_producer(options, callbacks)?)?;
        Ok(())
    })
}

fn keep_both(result: TransactionSent, sent: Option<&mut *mut fmq_sent>, state: Option<&mut i32>) {
    if let Some(state) = state {
        *state = fmq_transaction_state::from(result.state) as i32;
    }
    keep(result.sent, sent);
}

/// Sends the half of a message, runs the local transaction if the broker has it, and tells the broker how that ended, which
/// `state` gets as well: one of `fmq_transaction_state`. That the broker could not be told is no error: it asks. `sent` and
/// `state` may be NULL. Waits at most sendMsgTimeout for the broker, and for the transaction as long as it takes.
#[no_mangle]
pub unsafe extern "C" fn fmq_transaction_producer_send(
    producer: *mut fmq_transaction_producer,
    message: *const fmq_message,
    sent: *mut *mut fmq_sent,
    state: *mut i32,
) -> *mut fmq_error {
    guard(|| {
        let (sent, state) = from_c!((output_or_null(sent), output_or_null(state)));
        let message = &from_c!(thing(message, "message"))?.message;
        keep_both(object(producer, "producer")?.send(message)?, sent, state);
        Ok(())
    })
}

/// As `fmq_transaction_producer_send`, but runs `execute` with `user_data` as the local transaction, before it returns. How
/// it ended is still asked of the producer's `check` later.
#[no_mangle]
pub unsafe extern "C" fn fmq_transaction_producer_send_with_executor(
    producer: *mut fmq_transaction_producer,
    message: *const fmq_message,
    execute: fmq_transaction_execute,
    user_data: *mut c_void,
    sent: *mut *mut fmq_sent,
    state: *mut i32,
) -> *mut fmq_error {
    guard(|| {
        let (sent, state) = from_c!((output_or_null(sent), output_or_null(state)));
        let execute = execute.ok_or_else(|| unusable("execute", "is NULL"))?;
        let message = &from_c!(thing(message, "message"))?.message;
        let result = object(producer, "producer")?.send_executing(message, |message, id| {
            let (message, id) = (lent(message), c_string(id));
            self::state(from_c!(execute(message.handle(), id.as_ptr(), user_data)))
        })?;
        keep_both(result, sent, state);
        Ok(())
    })
}

/// As `fmq_producer_close`; questions of brokers that wait are dropped, as brokers ask again.
#[no_mangle]
pub unsafe extern "C" fn fmq_transaction_producer_close(
    producer: *mut fmq_transaction_producer,
    timeout_ms: i64,
) -> *mut fmq_error {
    guard(|| {
        let producer = object(producer, "producer")?;
        match time(timeout_ms) {
            Some(limit) => producer.close_within(limit),
            None => producer.close(),
        }
    })
}

/// Closes a producer as `fmq_transaction_producer_close` with -1 does, and ends the handle. NULL and a handle that was
/// freed are fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_transaction_producer_free(producer: *mut fmq_transaction_producer) {
    look((), || unshare(producer).map_or(Ok(()), |producer| producer.close()));
}
