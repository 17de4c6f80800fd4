//! Keys, values and texts as nobody would write them: each is taken or refused in words, and nothing else happens.

use std::ffi::{c_char, CStr, CString};
use std::ptr::{null, null_mut};

use ferromq_ffi::*;
use proptest::prelude::*;

/// What a call answered: nothing, or its error in words.
fn answer(error: *mut fmq_error) -> Option<(i32, String)> {
    if error.is_null() {
        return None;
    }
    // SAFETY: the error is alive until it is freed, once.
    unsafe {
        let message = CStr::from_ptr(fmq_error_message(error)).to_str().expect("UTF-8").to_owned();
        let code = fmq_error_code(error);
        fmq_error_free(error);
        Some((code, message))
    }
}

/// Known keys as well as nonsense.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "path",
        "memory",
        "listen",
        "flushDiskType",
        "sendMsgTimeout",
        "consumeFromWhere",
        "pollBatch",
        "namesrvAddr",
        "messageDelayLevel",
        "consumerGroup",
        "producerGroup",
        "tls.enable",
        "client.",
        "broker.listenPort",
    ]);
    prop_oneof![known.prop_map(|key| key.as_bytes().to_vec()), prop::collection::vec(1_u8.., 0..40)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(vec![
        "",
        "true",
        "-1",
        "99999999999999999999",
        "0",
        "0:0:0",
        ":::",
        "ASYNC_FLUSH",
    ]);
    prop_oneof![odd.prop_map(|value| value.as_bytes().to_vec()), prop::collection::vec(1_u8.., 0..60)]
}

fn c(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("no NUL in it")
}

/// An instance that reaches nobody.
fn instance() -> *mut fmq_instance {
    let mut instance = null_mut();
    // SAFETY: the address is a text, the place a pointer's.
    let error = unsafe { fmq_connect(c"127.0.0.1:9".as_ptr(), null(), &raw mut instance) };
    assert_eq!(answer(error), None);
    instance
}

const REFUSALS: [i32; 2] = [fmq_code::FMQ_INVALID_ARGUMENT as i32, fmq_code::FMQ_IO as i32];

fn accepted(error: *mut fmq_error) -> Result<bool, TestCaseError> {
    match answer(error) {
        None => Ok(true),
        Some((code, message)) => {
            prop_assert!(REFUSALS.contains(&code), "{code} {message}");
            prop_assert!(!message.is_empty());
            Ok(false)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("FERROMQ_SOAK").is_some() { 20_000 } else { 300 }))]

    #[test]
    fn options_are_taken_or_refused(pairs in prop::collection::vec((key(), value()), 0..4)) {
        // SAFETY: all texts are alive during the calls, and what is made is freed once.
        unsafe {
            let mut options = null_mut();
            prop_assert!(accepted(fmq_options_new(&raw mut options))?);
            for (key, value) in &pairs {
                let (key, value) = (c(key), c(value));
                let is_text = key.to_str().is_ok() && value.to_str().is_ok();
                prop_assert_eq!(accepted(fmq_options_set(options, key.as_ptr(), value.as_ptr()))?, is_text);
            }
            let (mut other, mq) = (null_mut(), instance());
            if accepted(fmq_connect(null(), options, &raw mut other))? {
                fmq_instance_free(other);
            }
            let mut producer = null_mut();
            prop_assert_eq!(accepted(fmq_producer_new(mq, null(), options, &raw mut producer))?, !producer.is_null());
            fmq_producer_free(producer);
            let mut consumer = null_mut();
            prop_assert_eq!(accepted(fmq_consumer_new(mq, null(), options, &raw mut consumer))?, !consumer.is_null());
            fmq_consumer_free(consumer);
            let mut push = null_mut();
            prop_assert_eq!(accepted(fmq_push_consumer_new(mq, null(), options, &raw mut push))?, !push.is_null());
            fmq_push_consumer_free(push);
            fmq_instance_free(mq);
            fmq_options_free(options);
        }
    }

    #[test]
    fn messages_are_what_was_set_or_refuse_it(topic in value(), name in key(), value in value(), level: i32) {
        let (topic, name, value) = (c(&topic), c(&name), c(&value));
        // SAFETY: as above.
        unsafe {
            let mut message = null_mut();
            let body = value.as_bytes();
            let made = accepted(fmq_message_new(topic.as_ptr(), body.as_ptr().cast(), body.len(), &raw mut message))?;
            prop_assert_eq!(made, topic.to_str().is_ok());
            if !made {
                return Ok(());
            }
            prop_assert_eq!(CStr::from_ptr(fmq_message_topic(message)), topic.as_c_str());
            if accepted(fmq_message_set_property(message, name.as_ptr(), value.as_ptr()))? {
                let found = fmq_message_property(message, name.as_ptr());
                prop_assert_eq!(CStr::from_ptr(found), value.as_c_str());
            }
            let is_level = accepted(fmq_message_set_delay_level(message, level))?;
            prop_assert_eq!(is_level, level >= 0);
            for set in [fmq_message_set_tag, fmq_message_add_key, fmq_message_set_sharding_key] {
                accepted(set(message, value.as_ptr()))?;
            }
            let mut length = 0;
            let bytes: *const c_char = fmq_message_body(message, &raw mut length);
            prop_assert_eq!(std::slice::from_raw_parts(bytes.cast::<u8>(), length), body);
            fmq_message_free(message);
        }
    }
}
