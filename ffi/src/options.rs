//! `fmq_options`: settings as keys and values.

use std::ffi::c_char;

use ferromq::{
    BrokerConfig, ClientOptions, ConsumerOptions, NamesrvConfig, OpenOptions, ProducerOptions, Result,
};

use crate::error::fmq_error;
use crate::guard::{from_c, guard, look, output, text};
use crate::handle::{free, give, thing_mut, Thing};

/// Settings: keys and values, both text. What a key means, and which values it takes, is the business of the call that
/// the options are given to; docs/client.md and docs/settings.md list all keys. They may be used again, and freed as soon
/// as the call returns.
#[allow(non_camel_case_types, reason = "names of the header")]
pub struct fmq_options {
    _opaque: [u8; 0],
}

impl Thing for fmq_options {
    type Value = Pairs;
    const NAME: &'static str = "fmq_options";
    const MAGIC: u64 = 0x666d_716f_7074_0000;
}

/// Keys and values in the order they were set.
#[derive(Debug, Default, Clone)]
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// All of them.
    pub(crate) fn borrowed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// For `fmq_open`: a path beside them is one of them, NULL there means memory unless they say where.
    pub(crate) fn open(options: Option<&Pairs>, path: Option<&str>) -> Result<OpenOptions> {
        let given = || options.into_iter().flat_map(Pairs::borrowed);
        let named = given().any(|(key, _)| matches!(key, "path" | "memory"));
        let place = match path {
            Some(path) => Some(("path", path)),
            None if named => None,
            None => Some(("memory", "true")),
        };
        OpenOptions::from_pairs(given().chain(place))
    }

    pub(crate) fn connect(options: Option<&Pairs>, name_servers: &str) -> Result<ClientOptions> {
        let mut made = ClientOptions::new(name_servers);
        set_all(options, |key, value| made.set(key, value))?;
        Ok(made)
    }

    pub(crate) fn broker(options: Option<&Pairs>) -> Result<BrokerConfig> {
        BrokerConfig::from_pairs(options.into_iter().flat_map(Pairs::borrowed))
    }

    pub(crate) fn namesrv(options: Option<&Pairs>) -> Result<NamesrvConfig> {
        NamesrvConfig::from_pairs(options.into_iter().flat_map(Pairs::borrowed))
    }

    pub(crate) fn producer(options: Option<&Pairs>, group: Option<&str>) -> Result<ProducerOptions> {
        let mut made = ProducerOptions::default();
        set_all(options, |key, value| made.set(key, value))?;
        if let Some(group) = group {
            made.producer_group = group.into();
        }
        Ok(made)
    }

    pub(crate) fn consumer(options: Option<&Pairs>, group: Option<&str>) -> Result<ConsumerOptions> {
        let mut made = ConsumerOptions::default();
        set_all(options, |key, value| made.set(key, value))?;
        if let Some(group) = group {
            made.consumer_group = Some(group.into());
        }
        Ok(made)
    }
}

fn set_all(options: Option<&Pairs>, mut set: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let mut pairs = options.into_iter().flat_map(Pairs::borrowed);
    pairs.try_for_each(|(key, value)| set(key, value))
}

/// Makes empty options.
#[no_mangle]
pub unsafe extern "C" fn fmq_options_new(options: *mut *mut fmq_options) -> *mut fmq_error {
    guard(|| {
        let place = from_c!(output(options, "options"))?;
        *place = give(Pairs::default());
        Ok(())
    })
}

/// Sets a key. Of a key that is set twice the last value counts. Whether the key is known and the value allowed is told
/// by the call that the options are given to.
#[no_mangle]
pub unsafe extern "C" fn fmq_options_set(
    options: *mut fmq_options,
    key: *const c_char,
    value: *const c_char,
) -> *mut fmq_error {
    guard(|| {
        let (key, value) = from_c!((text(key, "key")?, text(value, "value")?));
        from_c!(thing_mut(options, "options"))?.0.push((key.into(), value.into()));
        Ok(())
    })
}

/// Frees options. NULL is fine.
#[no_mangle]
pub unsafe extern "C" fn fmq_options_free(options: *mut fmq_options) {
    look((), || {
        from_c!(free(options));
        Ok(())
    });
}
