//! TAG expressions: `*`, one tag, or several joined by `||`.
//!
//! Reference: protocol.md 2.1 and 5.1. Apache's name: FilterAPI.

use crate::message::java_hash;
use crate::{Error, ErrorKind, Result};

/// A compiled TAG expression. It decides by the hash of the tag that queue entries carry, so a match is a candidate:
/// clients compare the text again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagExpression {
    /// `*` or nothing: every message, with a tag or without.
    All,
    /// The Java hashes of the wanted tags.
    AnyOf(Vec<i32>),
}

impl TagExpression {
    /// Compiles `*`, `TagA`, `TagA || TagB`. Spaces around tags do not count. An expression of separators only is an
    /// error.
    pub fn parse(expression: &str) -> Result<Self> {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(TagExpression::All);
        }
        let tags = expression.split("||").map(str::trim).filter(|tag| !tag.is_empty());
        let hashes: Vec<i32> = tags.map(java_hash).collect();
        if hashes.is_empty() {
            let hint = format!("`{expression}` names no tag; write `*`, `TagA` or `TagA || TagB`");
            return Err(Error::new(ErrorKind::InvalidArgument, "parse tag expression", hint));
        }
        Ok(TagExpression::AnyOf(hashes))
    }

    /// Whether a message with this queue entry may match. `None`: the entry does not tell, so it may.
    pub fn matches(&self, tags_code: Option<i64>) -> bool {
        match (self, tags_code) {
            (TagExpression::All, _) | (_, None) => true,
            // Apache compares the low 32 bits.
            (TagExpression::AnyOf(hashes), Some(code)) => hashes.contains(&(code as i32)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_and_what_they_match() {
        assert_eq!(TagExpression::parse("*").unwrap(), TagExpression::All);
        assert_eq!(TagExpression::parse("").unwrap(), TagExpression::All);
        let two = TagExpression::parse(" TagA ||TagB|| ").unwrap();
        assert_eq!(two, TagExpression::AnyOf(vec![2598919, 2598920]));
        assert!(two.matches(Some(2598919)));
        assert!(!two.matches(Some(0)), "no tag is not one of two tags");
        assert!(two.matches(None));
        assert!(TagExpression::parse("||").unwrap_err().to_string().contains("names no tag"));
    }

    #[test]
    fn negative_hashes_are_sign_extended_in_entries() {
        let tag = "always";
        let entry = i64::from(java_hash(tag));
        assert_eq!(entry, -1414557169);
        assert!(TagExpression::parse(tag).unwrap().matches(Some(entry)));
    }
}
