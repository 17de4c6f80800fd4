//! Members of Python's enums (`ferromq/enums.py`), whose values are Apache's words.

use ferromq::{PullStatus, SendStatus, TransactionState};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyString};

type Members = PyOnceLock<Vec<Py<PyAny>>>;

/// The member at a place of `words`.
fn member(py: Python<'_>, members: &Members, class: &str, words: &[&str], at: usize) -> PyResult<Py<PyAny>> {
    let members = members.get_or_try_init(py, || {
        let class = py.import("ferromq.enums")?.getattr(class)?;
        words.iter().map(|word| Ok(class.call1((*word,))?.unbind())).collect::<PyResult<Vec<_>>>()
    })?;
    Ok(members[at].clone_ref(py))
}

const SEND: [(SendStatus, &str); 4] = [
    (SendStatus::Ok, "SEND_OK"),
    (SendStatus::FlushTimedOut, "FLUSH_DISK_TIMEOUT"),
    (SendStatus::SlaveTimedOut, "FLUSH_SLAVE_TIMEOUT"),
    (SendStatus::NoSlave, "SLAVE_NOT_AVAILABLE"),
];

pub fn send_status(py: Python<'_>, status: SendStatus) -> PyResult<Py<PyAny>> {
    static MEMBERS: Members = PyOnceLock::new();
    let at = SEND.iter().position(|(one, _)| *one == status).unwrap_or(0);
    member(py, &MEMBERS, "SendStatus", &SEND.map(|(_, word)| word), at)
}

pub fn send_status_of(value: &Bound<'_, PyAny>) -> PyResult<SendStatus> {
    let word: String = value.extract()?;
    let found = SEND.iter().find(|(_, one)| *one == word);
    found.map(|(status, _)| *status).ok_or_else(|| PyTypeError::new_err(format!("{word:?} is no SendStatus")))
}

const TRANSACTION: [(TransactionState, &str); 3] = [
    (TransactionState::Commit, "COMMIT_MESSAGE"),
    (TransactionState::Rollback, "ROLLBACK_MESSAGE"),
    (TransactionState::Unknown, "UNKNOW"),
];

pub fn transaction_state(py: Python<'_>, state: TransactionState) -> PyResult<Py<PyAny>> {
    static MEMBERS: Members = PyOnceLock::new();
    let at = TRANSACTION.iter().position(|(one, _)| *one == state).unwrap_or(2);
    member(py, &MEMBERS, "TransactionState", &TRANSACTION.map(|(_, word)| word), at)
}

/// What a transaction's function answers: a `TransactionState`, `True` for commit, `False` for rollback, `None` for not
/// known yet.
pub fn transaction_state_of(value: &Bound<'_, PyAny>) -> PyResult<TransactionState> {
    if value.is_none() {
        return Ok(TransactionState::Unknown);
    }
    if let Ok(committed) = value.cast::<PyBool>() {
        return Ok(if committed.is_true() { TransactionState::Commit } else { TransactionState::Rollback });
    }
    let word = value.cast::<PyString>().ok().map(|word| word.to_cow()).transpose()?;
    let found = TRANSACTION.iter().find(|(_, one)| word.as_deref() == Some(*one));
    found.map(|(state, _)| *state).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "a transaction ends with a TransactionState, True, False or None, not {value:?}"
        ))
    })
}

pub fn pull_status(py: Python<'_>, status: PullStatus) -> PyResult<Py<PyAny>> {
    static MEMBERS: Members = PyOnceLock::new();
    let words = ["FOUND", "NO_NEW_MSG", "NO_MATCHED_MSG", "OFFSET_ILLEGAL"];
    let at = match status {
        PullStatus::Found => 0,
        PullStatus::NoNewMessages => 1,
        PullStatus::NoMatched => 2,
        PullStatus::OffsetIllegal => 3,
    };
    member(py, &MEMBERS, "PullStatus", &words, at)
}

/// What a listener answers: `None`, `True` and the successes of the enums are success, `False` and the others are not.
pub fn is_success(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if value.is_none() {
        return Ok(true);
    }
    if let Ok(success) = value.cast::<PyBool>() {
        return Ok(success.is_true());
    }
    let word = value.cast::<PyString>().ok().map(|word| word.to_cow()).transpose()?;
    match word.as_deref() {
        Some("CONSUME_SUCCESS" | "SUCCESS" | "CommitMessage") => Ok(true),
        Some("RECONSUME_LATER" | "SUSPEND_CURRENT_QUEUE_A_MOMENT" | "ReconsumeLater") => Ok(false),
        _ => Err(PyTypeError::new_err(format!(
            "a listener answers None or True (consumed), False (later), or a ConsumeStatus, OrderlyStatus or Action; \
             not {value:?}"
        ))),
    }
}
