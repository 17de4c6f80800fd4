//! What operators ask of a cluster: topics, groups, offsets, brokers.

use ferromq::admin::{to_json, StartAt, TopicSettings};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Outcome;
use crate::instance::Instance;
use crate::wait::interruptible;

/// Operators' calls of a cluster. Made by `Instance.admin`. Answers are dicts and lists, with the names that all languages
/// share (camelCase).
///
/// >>> admin = mq.admin()
/// >>> admin.create_topic("Invoices", 2)
/// >>> sent = mq.producer("shop").send("Invoices", b"one")
/// >>> admin.topic("Invoices")["messages"], "Invoices" in admin.topics()
/// (1, True)
#[pyclass(module = "ferromq", frozen, weakref)]
pub struct Admin {
    inner: ferromq::Admin,
    /// Lives as long as what was made from it, to be closed when the interpreter ends.
    _instance: Py<Instance>,
}

impl Admin {
    pub fn new(inner: ferromq::Admin, instance: Py<Instance>) -> Admin {
        Admin { inner, _instance: instance }
    }

    /// Asks, and makes Python's dicts and lists of the answer.
    fn ask<'py, T: serde::Serialize + 'static>(
        &self,
        py: Python<'py>,
        ask: impl FnOnce(ferromq::Admin) -> ferromq::Result<T> + Send + 'static,
    ) -> Outcome<Bound<'py, PyAny>> {
        let inner = self.inner.clone();
        let json = interruptible(py, move || ask(inner).map(|answer| to_json(&answer)))?;
        Ok(py.import("json")?.call_method1("loads", (json,))?)
    }
}

#[pymethods]
impl Admin {
    /// The topics that users made, sorted.
    fn topics(&self, py: Python<'_>) -> Outcome<Vec<String>> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.topics())
    }

    /// All topics, those of the system too.
    fn all_topics(&self, py: Python<'_>) -> Outcome<Vec<String>> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.all_topics())
    }

    /// A topic: `brokers`, `queues` (with `minOffset`, `maxOffset`, `lastTimestamp`), `messages`.
    fn topic<'py>(&self, py: Python<'py>, name: String) -> Outcome<Bound<'py, PyAny>> {
        self.ask(py, move |admin| admin.topic(&name))
    }

    /// Makes a topic on every master, or changes it: with `queues` to read from and to write to, unless `read_queues` and
    /// `write_queues` say otherwise; `perm` is 2 (write), 4 (read) or 6 (both).
    #[pyo3(signature = (name, queues = 4, *, read_queues = None, write_queues = None, perm = None, order = None))]
    #[allow(clippy::too_many_arguments)] // They are keyword arguments.
    fn create_topic(
        &self,
        py: Python<'_>,
        name: String,
        queues: i32,
        read_queues: Option<i32>,
        write_queues: Option<i32>,
        perm: Option<i32>,
        order: Option<bool>,
    ) -> Outcome<()> {
        let mut settings = TopicSettings::new(queues);
        settings.read_queues = read_queues.unwrap_or(settings.read_queues);
        settings.write_queues = write_queues.unwrap_or(settings.write_queues);
        settings.perm = perm.unwrap_or(settings.perm);
        settings.order = order.unwrap_or(settings.order);
        let inner = self.inner.clone();
        interruptible(py, move || inner.create_topic(&name, &settings))
    }

    /// Deletes a topic with its messages.
    fn delete_topic(&self, py: Python<'_>, name: String) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.delete_topic(&name))
    }

    /// The consumer groups, sorted.
    fn groups(&self, py: Python<'_>) -> Outcome<Vec<String>> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.groups())
    }

    /// How far a group has come: `queues` (with `brokerOffset`, `consumerOffset`, `lag`), `lag`, `consumeTps`.
    fn progress<'py>(&self, py: Python<'py>, group: String) -> Outcome<Bound<'py, PyAny>> {
        self.ask(py, move |admin| admin.progress(&group))
    }

    /// Who is in a group, and what it wants: `members`, `subscriptions`, `messageModel`.
    fn members<'py>(&self, py: Python<'py>, group: String) -> Outcome<Bound<'py, PyAny>> {
        self.ask(py, move |admin| admin.members(&group))
    }

    /// Has a group go on elsewhere in a topic: at `"begin"`, at `"end"`, or with what was stored at a time (ms since 1970) or
    /// later. Answers with the queues and their offsets.
    fn reset_offsets<'py>(
        &self,
        py: Python<'py>,
        group: String,
        topic: String,
        at: &Bound<'py, PyAny>,
    ) -> Outcome<Bound<'py, PyAny>> {
        let at = match at.extract::<i64>() {
            Ok(ms) => StartAt::Time(ms),
            Err(_) => match at.extract::<String>()?.as_str() {
                "begin" => StartAt::Begin,
                "end" => StartAt::End,
                other => {
                    let text =
                        format!("{other:?} is no place: give \"begin\", \"end\" or a time in ms since 1970");
                    return Err(PyValueError::new_err(text).into());
                }
            },
        };
        self.ask(py, move |admin| admin.reset_offsets(&group, &topic, at))
    }

    /// Forgets a group and how far it has come.
    fn delete_group(&self, py: Python<'_>, group: String) -> Outcome<()> {
        let inner = self.inner.clone();
        interruptible(py, move || inner.delete_group(&group))
    }

    /// The name servers, and the brokers with their addresses, versions and figures.
    fn cluster<'py>(&self, py: Python<'py>) -> Outcome<Bound<'py, PyAny>> {
        self.ask(py, |admin| admin.cluster())
    }

    fn __repr__(&self) -> &'static str {
        "<Admin>"
    }
}
