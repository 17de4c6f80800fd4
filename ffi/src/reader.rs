//! `fmq_reader`: reads a queue of an instance of this process, message by message.

use std::ffi::{c_char, c_void};

use ferromq::Reader;

use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, output_or_null, text, unusable};
use crate::handle::{free, give, object, thing, thing_mut, Thing};
use crate::instance::fmq_instance;

/// Reads one queue of an instance that `fmq_open` opened, message by message, each copied once: from the store into the
/// caller's buffer. It belongs to no group and commits nothing, and does not wait. Messages that are gone, because their time
/// was over, or turn out to be damaged, are passed over.
///
/// One thread uses it at a time. The file of the log that it is in stays on the disk as long as it stays there.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_reader {
    _opaque: [u8; 0],
}

impl Thing for fmq_reader {
    type Value = Reader;
    const NAME: &'static str = "fmq_reader";
    const MAGIC: u64 = 0x666d_7172_6561_6400;
}

/// Makes a reader of a queue, counted from 0, of a topic that is there, from an offset on. Of an instance that `fmq_connect`
/// made none can be had. To be freed with `fmq_reader_free`.
#[no_mangle]
pub unsafe extern "C" fn fmq_reader_new(
    instance: *mut fmq_instance,
    topic: *const c_char,
    queue_id: i32,
    offset: i64,
    reader: *mut *mut fmq_reader,
) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(reader, "reader"))?;
        let topic = from_c!(text(topic, "topic"))?;
        *place = give(object(instance, "instance")?.instance().reader(topic, queue_id, offset)?);
        Ok(())
    })
}

/// Copies the body of the next message to `buffer`, which has room for `capacity` bytes (NULL if that is 0). `length` gets
/// its bytes and `offset`, which may be NULL, its place in the queue; that is -1 if there is no message for now. If the
/// buffer is too small the call fails with FMQ_INVALID_ARGUMENT, `length` says what it takes, and the same message comes
/// next.
#[no_mangle]
pub unsafe extern "C" fn fmq_reader_read(
    reader: *mut fmq_reader,
    buffer: *mut c_void,
    capacity: usize,
    length: *mut usize,
    offset: *mut i64,
) -> *mut fmq_error {
    guard(|| {
        let length = from_c!(output(length, "length"))?;
        let place = from_c!(output_or_null(offset));
        if buffer.is_null() && capacity > 0 {
            return Err(unusable("buffer", "is NULL, but its capacity is not 0"));
        }
        let reader = from_c!(thing_mut(reader, "reader"))?;
        let at = match reader.read()? {
            None => -1,
            Some(message) => {
                let (body, at) = (message.body(), message.offset());
                *length = body.len();
                if body.len() > capacity {
                    let what = format!("is too small: the message has {} bytes, it {capacity}", body.len());
                    reader.seek(at);
                    return Err(unusable("buffer", &what));
                }
                // SAFETY: the caller says that so many bytes may be written there; the message lies elsewhere.
                unsafe { std::ptr::copy_nonoverlapping(body.as_ptr(), buffer.cast(), body.len()) };
                at
            }
        };
        place.into_iter().for_each(|place| *place = at);
        Ok(())
    })
}

/// Goes on from an offset. If it is not there any more, the first message that is comes next; if it is not there yet,
/// nothing comes until it is.
#[no_mangle]
pub unsafe extern "C" fn fmq_reader_seek(reader: *mut fmq_reader, offset: i64) -> *mut fmq_error {
    guard(|| {
        from_c!(thing_mut(reader, "reader"))?.seek(offset);
        Ok(())
    })
}

/// The offset from which on the next message is looked for; -1 of NULL.
#[no_mangle]
pub unsafe extern "C" fn fmq_reader_offset(reader: *const fmq_reader) -> i64 {
    look(-1, || Ok(from_c!(thing(reader, "reader"))?.offset()))
}

/// Frees a reader. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_reader_free(reader: *mut fmq_reader) {
    look((), || {
        from_c!(free(reader));
        Ok(())
    });
}
