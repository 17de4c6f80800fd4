//! How members of a group share its queues, as the program says.

use std::ffi::{c_char, c_void, CString};

use ferromq::{MessageQueue, OwnStrategy, Strategy};

use crate::consumer::fmq_consumer;
use crate::error::fmq_error;
use crate::guard::{c_string, from_c, guard, unusable};
use crate::handle::{fmq_free_user_data, object, UserData};
use crate::push::fmq_push_consumer;
use crate::queue::{fmq_queues, list_during, list_to_fill};

/// Chooses the queues of a topic that are this member's: adds them to `own`, which is lent, with `fmq_queues_add`. Gets the group, the own
/// client id, all queues and the client ids of all members (`count` of them), both sorted. All members have to come to
/// shares that fit together. Runs on a thread of the client, and must not wait.
#[allow(non_camel_case_types, reason = "names of the header")]
pub type fmq_allocate = Option<
    unsafe extern "C" fn(
        group: *const c_char,
        client_id: *const c_char,
        queues: *const fmq_queues,
        members: *const *const c_char,
        count: usize,
        own: *mut fmq_queues,
        user_data: *mut c_void,
    ),
>;

fn strategy(allocate: fmq_allocate, user_data: UserData) -> ferromq::Result<Strategy> {
    let allocate = allocate.ok_or_else(|| unusable("allocate", "is NULL"))?;
    Ok(Strategy::Own(OwnStrategy::new(
        move |group: &str, client_id: &str, queues: &[MessageQueue], members: &[&str]| {
            let (group, client_id, queues) = (c_string(group), c_string(client_id), list_during(queues));
            let members: Vec<CString> = members.iter().map(|member| c_string(*member)).collect();
            let members: Vec<*const c_char> = members.iter().map(|member| member.as_ptr()).collect();
            let mut own = list_to_fill();
            from_c!(allocate(
                group.as_ptr(),
                client_id.as_ptr(),
                queues.handle(),
                members.as_ptr(),
                members.len(),
                own.handle_mut(),
                user_data.pointer()
            ));
            own.value.iter().map(|queue| queue.value.queue.clone()).collect()
        },
    )))
}

/// Has `allocate` say how the group's members share the queues, in place of allocateMessageQueueStrategy. All members need
/// the same. `user_data` is given back with `free_user_data` (may be NULL) when the consumer is freed or gets another one.
#[no_mangle]
pub unsafe extern "C" fn fmq_push_consumer_allocate_by(
    consumer: *mut fmq_push_consumer,
    allocate: fmq_allocate,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let strategy = strategy(allocate, user_data)?;
        object(consumer, "consumer")?.consumer().allocate_by(strategy);
        Ok(())
    })
}

/// As `fmq_push_consumer_allocate_by`.
#[no_mangle]
pub unsafe extern "C" fn fmq_consumer_allocate_by(
    consumer: *mut fmq_consumer,
    allocate: fmq_allocate,
    user_data: *mut c_void,
    free_user_data: fmq_free_user_data,
) -> *mut fmq_error {
    let user_data = UserData::new(user_data, free_user_data);
    guard(|| {
        let strategy = strategy(allocate, user_data)?;
        object(consumer, "consumer")?.consumer().allocate_by(strategy);
        Ok(())
    })
}
