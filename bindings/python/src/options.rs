//! Settings as keyword arguments. Which there are and what they may be is the library's to say
//! (`OpenOptions::set` and its like): here values become texts.

use std::path::PathBuf;

use ferromq::{ClientOptions, ConsumerOptions, OpenOptions, ProducerOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyString};

use crate::error::Outcome;

/// Sets all keyword arguments; `None` leaves a setting as it is.
fn set_all(
    options: Option<&Bound<'_, PyDict>>,
    mut set: impl FnMut(&str, &str) -> ferromq::Result<()>,
) -> Outcome<()> {
    for (name, value) in options.into_iter().flat_map(|options| options.iter()) {
        if !value.is_none() {
            let name: String = name.extract()?;
            set(&name, &text(&name, &value)?)?;
        }
    }
    Ok(())
}

/// A value as settings files write it.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(truth.is_true().to_string());
    }
    if value.is_instance_of::<PyString>() {
        return value.extract();
    }
    if value.is_instance_of::<PyInt>() {
        return value.str()?.extract();
    }
    if value.is_instance_of::<PyFloat>() {
        let number: f64 = value.extract()?;
        if number.fract() == 0.0 {
            return Ok(format!("{number:.0}"));
        }
        return Err(PyTypeError::new_err(format!(
            "{name} takes whole numbers (times in milliseconds, or as a timedelta), not {number}"
        )));
    }
    if value.hasattr("total_seconds")? {
        let seconds: f64 = value.call_method0("total_seconds")?.extract()?;
        return Ok(format!("{:.0}", seconds * 1000.0));
    }
    if value.hasattr("__fspath__")? {
        return value.call_method0("__fspath__")?.str()?.extract();
    }
    let is_bytes = value.is_instance_of::<PyBytes>() || value.is_instance_of::<PyByteArray>();
    if let Some(items) = (!is_bytes).then(|| value.try_iter()).and_then(Result::ok) {
        let texts: PyResult<Vec<String>> = items.map(|item| text(name, &item?)).collect();
        // Addresses and hours are separated by semicolons, all else by commas.
        let plain = name.replace('_', "").to_ascii_lowercase();
        let separator = if plain.contains("addr") || plain == "deletewhen" { ";" } else { "," };
        return Ok(texts?.join(separator));
    }
    let kind = value.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "{name} cannot be a {kind}: give a text, number, bool, timedelta, path or list"
    )))
}

/// Settings of a producer.
pub fn producer(group: &str, options: Option<&Bound<'_, PyDict>>) -> Outcome<ProducerOptions> {
    let mut settings = ProducerOptions::new(group);
    set_all(options, |key, value| settings.set(key, value))?;
    Ok(settings)
}

/// Settings of a consumer.
pub fn consumer(group: Option<&str>, options: Option<&Bound<'_, PyDict>>) -> Outcome<ConsumerOptions> {
    let mut settings =
        ConsumerOptions { consumer_group: group.map(str::to_owned), ..ConsumerOptions::default() };
    set_all(options, |key, value| settings.set(key, value))?;
    Ok(settings)
}

/// Settings of a client.
pub fn client(name_servers: &str, options: Option<&Bound<'_, PyDict>>) -> Outcome<ClientOptions> {
    let mut settings = ClientOptions::new(name_servers);
    set_all(options, |key, value| settings.set(key, value))?;
    Ok(settings)
}

/// Settings of an embedded server and its client; in memory without a path.
pub fn open(path: Option<PathBuf>, options: Option<&Bound<'_, PyDict>>) -> Outcome<OpenOptions> {
    let mut settings = path.map_or_else(OpenOptions::memory, OpenOptions::directory);
    set_all(options, |key, value| settings.set(key, value))?;
    Ok(settings)
}
