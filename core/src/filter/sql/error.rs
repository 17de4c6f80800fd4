//! Why an expression does not compile, or does not apply to a message.

use std::fmt;

use crate::{Error, ErrorKind};

/// Why an expression does not compile: where, and what is wrong there.
///
/// ```
/// use ferromq::filter::SqlExpression;
///
/// let error = SqlExpression::parse("a > 5 AND b = \"x\"").unwrap_err();
/// assert_eq!(error.position(), 14);
/// assert!(error.to_string().starts_with("column 15: "), "{error}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    at: usize,
    column: usize,
    reason: String,
}

impl SyntaxError {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        SyntaxError { at, column: 0, reason: reason.into() }
    }

    /// Counts the column, which takes the text.
    pub(super) fn within(self, text: &str) -> Self {
        SyntaxError { column: text[..self.at.min(text.len())].chars().count() + 1, ..self }
    }

    /// Byte offset in the expression at which the error was seen; its length if something is missing at the end.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The same as a column: characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong there, and what would be right.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.reason)
    }
}

impl std::error::Error for SyntaxError {}

impl From<SyntaxError> for Error {
    fn from(error: SyntaxError) -> Self {
        Error::new(ErrorKind::InvalidArgument, "compile SQL92 expression", error.to_string())
    }
}

/// Why an expression has no result for a message. Made for each such message, so it borrows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// A text stands where a number is needed.
    NotA(&'static str, &'a str),
    /// A boolean on the left cannot be compared with a text.
    BooleanAgainst(&'a str),
}

impl From<Fault<'_>> for Error {
    fn from(fault: Fault<'_>) -> Self {
        let context = match fault {
            Fault::NotA(wanted, text) => format!("the property value {:?} is not {wanted}", shortened(text)),
            Fault::BooleanAgainst(text) => format!(
                "a boolean on the left cannot be compared with the text {:?}; write the property on the left",
                shortened(text)
            ),
        };
        Error::new(ErrorKind::InvalidArgument, "evaluate SQL92 expression", context)
    }
}

/// The beginning of a text, for messages.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
