//! The one place where a header's fields become a struct and back: the [`header!`] macro and the types it knows.

use std::borrow::Cow;
use std::sync::Arc;

use super::fields::Value;
use super::text::decimal;
use super::writer::Name;
use super::{DecodeError, FieldWriter, Frame, RequestCode};

/// Defines the fields of a request or response: doc comment, name and type in Rust, name on the wire, all in one line.
///
/// ```text
/// header! {
///     /// APACHE_NAME (code): what it asks.
///     Name<'a> {
///         /// What it means.
///         field: i32 = "wireName",              // required
///         text: Option<Cow<'a, str>> = "text",  // may be absent
///         other: bool = "other" or false,       // absent reads as false
///         short: i64 = "long" | "s",            // the form decides which name (SEND_MESSAGE_V2)
///     }
///     form form: SendForm;                      // which of several codes, see `Form`
///     body: &'a [u8];                           // bytes, or a type of `super::body`
///     remark: Option<Cow<'a, str>>;             // the frame's remark means something
/// }
/// ```
macro_rules! header {
    (
        $(#[$meta:meta])*
        $name:ident $(<$lifetime:lifetime>)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident: $type:ty = $wire:literal $(| $short:literal)? $(or $default:expr)?,
            )*
        }
        $(form $form:ident: $form_type:ty;)?
        $(body: $body:ty;)?
        $(remark: $remark:ty;)?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name $(<$lifetime>)? {
            $($(#[$field_meta])* pub $field: $type,)*
            $(
                /// Which of the codes that share these fields.
                pub $form: $form_type,
            )?
            $(
                /// The body.
                pub body: $body,
            )?
            $(
                /// The frame's remark.
                pub remark: $remark,
            )?
        }

        #[cfg(test)]
        impl $(<$lifetime>)? $crate::wire::sample::Sample for $name $(<$lifetime>)? {
            #[allow(unused_variables, reason = "headers without fields")]
            fn sample(random: &mut $crate::wire::sample::Random) -> Self {
                $name {
                    $($field: $crate::wire::sample::Sample::sample(random),)*
                    $($form: <$form_type as $crate::wire::sample::Sample>::sample(random),)?
                    $(body: <$body as $crate::wire::sample::Sample>::sample(random),)?
                    $(remark: <$remark>::None,)?
                }
            }
        }

        impl<'a> $crate::wire::header::Header<'a> for $name $(<$lifetime>)? {
            fn read(frame: &$crate::wire::Frame<'a>, of: &'static str) -> $crate::wire::header::Read<Self> {
                #[allow(unused_mut, unused_variables, reason = "headers without fields or with one form")]
                let (mut reader, short) = ($crate::wire::header::Reader::new(frame, of), false);
                $(
                    let $form = <$form_type as $crate::wire::header::Form>::of(frame);
                    #[allow(unused_variables, reason = "headers with one name a field")]
                    let short = $form.is_short();
                )?
                Ok($name {
                    $($field: header!(@read reader, header!(@name short, $wire $(, $short)?) $(, $default)?),)*
                    $($form: { let form: $form_type = $form; form },)?
                    $(body: <$body as $crate::wire::header::Body<'a>>::read(frame)?,)?
                    $(remark: <$remark>::clone(&frame.remark),)?
                })
            }

            #[allow(unused_variables, reason = "headers without fields or with one form")]
            fn write(&self, writer: &mut $crate::wire::FieldWriter<'_>) {
                let short = false;
                $(let short = $crate::wire::header::Form::is_short(self.$form);)?
                $(
                    let name = $crate::wire::writer::Name {
                        wire: header!(@name short, $wire $(, $short)?),
                        json: header!(@json short, $wire $(, $short)?),
                    };
                    $crate::wire::header::FieldValue::write(&self.$field, name, writer);
                )*
            }

            #[allow(unused_variables, reason = "headers without fields")]
            fn knows(name: &str) -> bool {
                false $(|| name == $wire $(|| name == $short)?)*
            }

            fn body(&self) -> std::borrow::Cow<'_, [u8]> {
                $(return <$body as $crate::wire::header::Body<'a>>::bytes(&self.body);)?
                #[allow(unreachable_code, reason = "headers with a body")]
                std::borrow::Cow::Borrowed(&[])
            }

            $(
                fn remark(&self) -> Option<&str> {
                    <$remark>::as_deref(&self.remark)
                }
            )?
        }
    };
    (@name $is_short:ident, $wire:literal) => { $wire };
    (@name $is_short:ident, $wire:literal, $short:literal) => { if $is_short { $short } else { $wire } };
    (@json $is_short:ident, $wire:literal) => { concat!("\"", $wire, "\":\"") };
    (@json $is_short:ident, $wire:literal, $short:literal) => {
        if $is_short { concat!("\"", $short, "\":\"") } else { concat!("\"", $wire, "\":\"") }
    };
    (@read $reader:ident, $name:expr) => { $reader.required($name)? };
    (@read $reader:ident, $name:expr, $default:expr) => { $reader.or($name, $default)? };
}
pub(super) use header;

/// What was read, or what is wrong; in a box, so that results of numbers fit into registers.
pub(super) type Read<T> = Result<T, Box<DecodeError>>;

/// A struct that [`header!`] made.
pub(super) trait Header<'a>: Sized {
    /// Reads fields and body; `of` is Apache's name of the request for errors.
    fn read(frame: &Frame<'a>, of: &'static str) -> Read<Self>;
    /// Passes all fields to `writer`.
    fn write(&self, writer: &mut FieldWriter<'_>);
    /// Whether there is a field of this wire name.
    fn knows(name: &str) -> bool;
    /// The body's bytes.
    fn body(&self) -> Cow<'_, [u8]>;
    /// The frame's remark.
    fn remark(&self) -> Option<&str> {
        None
    }
}

/// Which of several codes a struct was sent with.
pub(super) trait Form: Copy {
    /// The form of a frame that has one of the codes.
    fn of(frame: &Frame<'_>) -> Self;
    /// The code of this form.
    fn code(self) -> RequestCode;
    /// Whether the fields have their short names.
    fn is_short(self) -> bool {
        false
    }
}

/// Looks up fields, in the order in which Apache writes them if possible.
pub(super) struct Reader<'f, 'a> {
    frame: &'f Frame<'a>,
    next: usize,
    of: &'static str,
}

impl<'f, 'a> Reader<'f, 'a> {
    pub fn new(frame: &'f Frame<'a>, of: &'static str) -> Self {
        Reader { frame, next: 0, of }
    }

    /// The field, or what stands for it when it is absent, which for most types is nothing.
    #[inline(always)]
    pub fn required<T: FieldValue<'a>>(&mut self, name: &'static str) -> Read<T> {
        let value = match self.frame.fields.search(name, &mut self.next) {
            Some(value) if !value.is_null() => return self.parse(name, value),
            Some(_) => T::null(),
            None => T::absent(),
        };
        value.ok_or_else(|| self.missing(name))
    }

    /// The field, or `default`.
    #[inline(always)]
    pub fn or<T: FieldValue<'a>>(&mut self, name: &'static str, default: T) -> Read<T> {
        match self.frame.fields.search(name, &mut self.next) {
            Some(value) if !value.is_null() => self.parse(name, value),
            _ => Ok(default),
        }
    }

    #[inline(always)]
    fn parse<T: FieldValue<'a>>(&self, name: &'static str, value: Value<'a>) -> Read<T> {
        T::read(value).ok_or_else(|| self.invalid(name, value, T::EXPECTED))
    }

    #[cold]
    fn invalid(&self, field: &'static str, value: Value<'a>, expected: &'static str) -> Box<DecodeError> {
        let value = value.text().chars().take(100).collect();
        Box::new(DecodeError::Invalid { of: self.of, field, value, expected })
    }

    #[cold]
    fn missing(&self, field: &'static str) -> Box<DecodeError> {
        Box::new(DecodeError::Missing { of: self.of, field })
    }
}

/// A type that a field can have.
pub(super) trait FieldValue<'a>: Sized {
    /// What the text must be, for errors.
    const EXPECTED: &'static str;
    /// What stands for an absent field.
    fn absent() -> Option<Self> {
        None
    }
    /// What stands for a value of length 0 in a binary header.
    fn null() -> Option<Self> {
        Self::absent()
    }
    fn read(value: Value<'a>) -> Option<Self>;
    fn write(&self, name: Name, writer: &mut FieldWriter<'_>);
}

impl<'a> FieldValue<'a> for Cow<'a, str> {
    const EXPECTED: &'static str = "text";

    fn null() -> Option<Self> {
        Some(Cow::Borrowed(""))
    }

    fn read(value: Value<'a>) -> Option<Self> {
        Some(value.text())
    }

    fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
        writer.known(name, self);
    }
}

/// Text that outlives the frame, for response headers.
macro_rules! owned_text {
    ($($type:ty)*) => { $(
        impl FieldValue<'_> for $type {
            const EXPECTED: &'static str = "text";

            fn null() -> Option<Self> {
                Some("".into())
            }

            fn read(value: Value<'_>) -> Option<Self> {
                Some(value.text().into())
            }

            fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
                writer.known(name, self);
            }
        }
    )* };
}
owned_text! { String Arc<str> }

macro_rules! number {
    ($($type:ty, $expected:literal;)*) => { $(
        impl FieldValue<'_> for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: Value<'_>) -> Option<Self> {
                decimal(value.raw())?.try_into().ok()
            }

            fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
                writer.int(name, i64::from(*self));
            }
        }
    )* };
}
number! {
    i32, "a number of 32 bits";
    i64, "a number of 64 bits";
}

impl FieldValue<'_> for bool {
    const EXPECTED: &'static str = "true or false";

    /// As Java's: everything but `true` is false.
    fn read(value: Value<'_>) -> Option<Self> {
        Some(value.raw().eq_ignore_ascii_case(b"true"))
    }

    fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
        let text: &[u8] = if *self { b"true" } else { b"false" };
        writer.plain(name, |out| out.extend_from_slice(text));
    }
}

impl<'a, T: FieldValue<'a>> FieldValue<'a> for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn read(value: Value<'a>) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn write(&self, name: Name, writer: &mut FieldWriter<'_>) {
        if let Some(value) = self {
            value.write(name, writer);
        }
    }
}

/// A type that a body can have.
pub(super) trait Body<'a>: Sized {
    fn read(frame: &Frame<'a>) -> Read<Self>;
    fn bytes(&self) -> Cow<'_, [u8]>;
}

impl<'a> Body<'a> for &'a [u8] {
    fn read(frame: &Frame<'a>) -> Read<Self> {
        Ok(frame.body)
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self)
    }
}

/// A body that may be empty.
impl<'a, T: Body<'a>> Body<'a> for Option<T> {
    fn read(frame: &Frame<'a>) -> Read<Self> {
        if frame.body.is_empty() {
            return Ok(None);
        }
        T::read(frame).map(Some)
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        self.as_ref().map_or(Cow::Borrowed(&[]), T::bytes)
    }
}

/// Makes types of [`super::body`] bodies of requests, in JSON.
macro_rules! json_bodies {
    ($($type:ty)*) => { $(
        impl<'a> Body<'a> for $type {
            fn read(frame: &Frame<'a>) -> Read<Self> {
                let fault = |reason: String| Box::new(DecodeError::Body { code: frame.request_code(), reason });
                super::json::from_slice(frame.body).map_err(|error| fault(error.to_string()))
            }

            fn bytes(&self) -> Cow<'_, [u8]> {
                // Where a map's keys are objects, receivers take the old form only.
                Cow::Owned(super::json::to_old_vec(self))
            }
        }
    )* };
}
json_bodies! {
    super::body::CheckClientRequestBody
    super::body::CreateTopicListRequestBody
    super::body::DataVersion
    super::body::HeartbeatData
    super::body::LockBatchRequestBody
    super::body::ResetOffsetBody
    super::body::SubscriptionGroupConfig
    super::body::SubscriptionGroupList
    super::body::UnlockBatchRequestBody
}
