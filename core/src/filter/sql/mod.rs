//! SQL92 expressions over the properties of messages.
//!
//! Text becomes tokens (`token.rs`), tokens become a tree (`parse.rs`, checked and made in `build.rs`), and the tree is
//! evaluated with the properties of one message after the other (`node.rs`). Language, checks and results are those of
//! Apache's filter, its oddities included; the test vectors in `tests/fixtures/filter/sql92.tsv` came from running it.
//!
//! A new operator is added in `parse.rs`, at `Following`: see there.

mod build;
mod error;
mod node;
mod number;
mod parse;
mod token;

use std::fmt;

use crate::message::{self, Properties};
use crate::{Error, Result};

pub use self::error::SyntaxError;
use self::node::{Lookup, Test};

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// Parentheses and signs that may be open at one place.
pub const MAX_NESTING: usize = 1000;
/// Properties and literals in an expression; a list of IN counts as none, however long. Each message may cost a look at all.
pub const MAX_OPERANDS: usize = 4000;
/// Levels of operators. A chain of one operator, such as `a = 1 OR a = 2 OR ...`, is one level, however long.
pub const MAX_DEPTH: usize = 200;

/// A compiled SQL92 expression, such as `price > 10 AND colour IN ('red', 'blue')`. It is what brokers filter with; a
/// consumer can use it too, to decide for itself. It may be shared by threads.
///
/// The language and its limits are described in `docs/filters.md`.
///
/// ```
/// use ferromq::filter::SqlExpression;
/// use ferromq::Properties;
///
/// # fn main() -> ferromq::Result<()> {
/// let expression = SqlExpression::parse("a BETWEEN 0 AND 3 AND colour <> 'red'")?;
/// let properties: Properties = [("a", "2"), ("colour", "blue")].into_iter().collect();
/// assert!(expression.matches(&properties));
/// // Without a colour the result is unknown, and a message is taken only if it is true.
/// let properties: Properties = [("a", "2")].into_iter().collect();
/// assert_eq!(expression.evaluate(&properties)?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
#[doc(alias = "MessageSelector")]
#[doc(alias = "SelectorParser")]
pub struct SqlExpression {
    text: Box<str>,
    test: Test,
    /// The properties that the expression names; the tree refers to them by number.
    names: Box<[Box<str>]>,
    /// The same numbers in the order of the names, where there are many.
    sorted: Box<[usize]>,
    ignored_from: Option<usize>,
}

impl SqlExpression {
    /// Compiles an expression.
    ///
    /// As with Apache, what stands behind the longest expression that the grammar allows is ignored:
    /// [`SqlExpression::ignored`] tells.
    ///
    /// # Errors
    /// Where the text does not compile, and why. Also when it is longer than [`MAX_LENGTH`], has more than
    /// [`MAX_OPERANDS`], or is nested deeper than [`MAX_NESTING`] or [`MAX_DEPTH`].
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_LENGTH {
            let reason = format!("the expression has {} bytes, allowed are {MAX_LENGTH}", text.len());
            return Err(SyntaxError::new(MAX_LENGTH, reason).within(""));
        }
        let parsed = parse::parse(text).map_err(|error| error.within(text))?;
        Ok(SqlExpression {
            text: text.into(),
            test: parsed.test,
            sorted: sorted(&parsed.names),
            names: parsed.names.into(),
            ignored_from: parsed.ignored_from,
        })
    }

    /// The text that was compiled.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The end of the text that has no effect: of `a = 1 garbage` it is `garbage`. Worth a warning.
    pub fn ignored(&self) -> Option<&str> {
        self.ignored_from.map(|from| &self.text[from..])
    }

    /// The properties that the expression names, each once, in their order.
    pub fn property_names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The result for a message's properties. `None` is null, SQL's unknown.
    ///
    /// # Errors
    /// When a property cannot be compared as the expression wants it, such as `a > 5` where `a` is `abc`. Brokers
    /// do not deliver such a message.
    pub fn evaluate(&self, properties: &Properties) -> Result<Option<bool>> {
        self.test.evaluate(&Named { names: &self.names, properties }).map_err(Error::from)
    }

    /// Whether a message with these properties is taken: its result is true, not false, null or an error.
    pub fn matches(&self, properties: &Properties) -> bool {
        self.test.evaluate(&Named { names: &self.names, properties }) == Ok(Some(true))
    }

    /// As [`SqlExpression::matches`], for properties as they stand in a record. Up to eight different
    /// properties nothing is allocated.
    pub fn matches_encoded(&self, properties: &[u8]) -> bool {
        if self.names.len() <= FEW_NAMES {
            let mut found = [None; FEW_NAMES];
            self.find(properties, &mut found);
            return self.test.evaluate(&Found(&found)) == Ok(Some(true));
        }
        let mut found = vec![None; self.names.len()];
        self.find(properties, &mut found);
        self.test.evaluate(&Found(&found)) == Ok(Some(true))
    }

    /// Finds the values of all names in one pass.
    fn find<'a>(&self, properties: &'a [u8], found: &mut [Option<&'a str>]) {
        for (name, value) in message::raw_properties(properties) {
            // The last one counts.
            if let Some(slot) = self.slot(name) {
                // As everywhere, a property that is not UTF-8 is none.
                found[slot] = std::str::from_utf8(value).ok().or(found[slot]);
            }
        }
    }

    fn slot(&self, name: &[u8]) -> Option<usize> {
        if self.sorted.is_empty() {
            return self.names.iter().position(|wanted| wanted.as_bytes() == name);
        }
        let at = self.sorted.binary_search_by(|slot| self.names[*slot].as_bytes().cmp(name)).ok()?;
        Some(self.sorted[at])
    }
}

impl fmt::Debug for SqlExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlExpression").field(&self.text).finish()
    }
}

impl fmt::Display for SqlExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for SqlExpression {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        SqlExpression::parse(text)
    }
}

/// So many names are compared one after the other, and their values stand on the stack.
const FEW_NAMES: usize = 8;

fn sorted(names: &[Box<str>]) -> Box<[usize]> {
    if names.len() <= FEW_NAMES {
        return Box::default();
    }
    let mut slots: Vec<usize> = (0..names.len()).collect();
    slots.sort_unstable_by_key(|slot| &names[*slot]);
    slots.into()
}

struct Named<'a> {
    names: &'a [Box<str>],
    properties: &'a Properties,
}

impl<'a> Lookup<'a> for Named<'a> {
    fn property(&self, slot: usize) -> Option<&'a str> {
        self.properties.get(&self.names[slot])
    }
}

struct Found<'f, 'a>(&'f [Option<&'a str>]);

impl<'a> Lookup<'a> for Found<'_, 'a> {
    fn property(&self, slot: usize) -> Option<&'a str> {
        self.0[slot]
    }
}

#[cfg(test)]
mod tests;
