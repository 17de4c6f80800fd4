//! The process in which something was made: in a child of a fork every lock may be held for ever, by threads it does not have.

use crate::store::forks;
use crate::{Error, ErrorKind, Result};

/// The process in which this was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Home {
    forks: usize,
}

impl Home {
    /// This process.
    pub fn here() -> Home {
        Home { forks: forks() }
    }

    /// Whether this is a child of it.
    pub fn is_left(self) -> bool {
        forks() != self.forks
    }

    /// Refuses to go on in a child: the `thing` belongs to another process.
    pub fn check(self, operation: &'static str, thing: &str) -> Result<()> {
        if !self.is_left() {
            return Ok(());
        }
        let context =
            format!("this process was forked from the one that made the {thing}; open its own instance");
        Err(Error::new(ErrorKind::Forked, operation, context))
    }
}
