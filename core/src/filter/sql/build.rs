//! What makes nodes, and refuses what Apache refuses when it compiles. Types are known then only of literals.

use super::error::shortened;
use super::node::{compare_doubles, Number, Operand, Search, Test};
use super::number;
use super::parse::Infix;
use super::token::Token;
use super::{SyntaxError, MAX_DEPTH};

/// An operand with its height as a tree, and where it begins.
pub(super) struct Built {
    pub operand: Operand,
    pub depth: usize,
    pub at: usize,
}

fn built(operand: Operand, depth: usize, at: usize) -> Result<Built, SyntaxError> {
    if depth >= MAX_DEPTH {
        return Err(SyntaxError::new(
            at,
            format!("operators are nested more than {MAX_DEPTH} levels deep here"),
        ));
    }
    Ok(Built { operand, depth: depth + 1, at })
}

fn built_test(test: Test, depth: usize, at: usize) -> Result<Built, SyntaxError> {
    built(Operand::Test(Box::new(test)), depth, at)
}

/// The operand as a test. Properties are cast; numbers and strings are none.
pub(super) fn test(operand: Built, what: &str) -> Result<Test, SyntaxError> {
    match operand.operand {
        Operand::Test(test) => Ok(*test),
        Operand::Property(slot) => Ok(Test::Property(slot)),
        other => {
            let reason = format!("{what} has to be true or false, but {} is neither", shown(&other));
            Err(SyntaxError::new(operand.at, reason))
        }
    }
}

/// The integer literal: 32 bits if it fits, else 64.
pub(super) fn integer(token: Token<'_>) -> Result<Number, SyntaxError> {
    let long = number::long(token.text.trim_end_matches(['l', 'L'])).ok_or_else(|| {
        let reason = format!("the integer {} is larger than 9223372036854775807", shortened(token.text));
        SyntaxError::new(token.at, reason)
    })?;
    Ok(i32::try_from(long).map_or(Number::Long(long), Number::Int))
}

/// The floating point literal.
pub(super) fn float(token: Token<'_>) -> Result<f64, SyntaxError> {
    let fault = |reason| Err(SyntaxError::new(token.at, reason));
    match number::double(token.text) {
        Some(value) if value == f64::INFINITY => {
            fault(format!("the number {} is larger than a double can be", shortened(token.text)))
        }
        Some(value) if value > 0.0 => Ok(value),
        _ => fault(format!("{} is no positive double; write 0 for zero", shortened(token.text))),
    }
}

/// The content of a string literal.
pub(super) fn text(quoted: &str) -> Box<str> {
    let inner = quoted.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(quoted);
    inner.replace("''", "'").into()
}

/// NOT.
pub(super) fn not(operand: Built) -> Result<Built, SyntaxError> {
    let (depth, at) = (operand.depth, operand.at);
    built_test(Test::Not(Box::new(test(operand, "what NOT stands before")?)), depth, at)
}

/// Unary minus.
pub(super) fn negate(operand: Built) -> Result<Built, SyntaxError> {
    built(Operand::Negated(Box::new(operand.operand)), operand.depth, operand.at)
}

/// An operator with two sides.
pub(super) fn infix(infix: Infix, left: Built, right: Built) -> Result<Built, SyntaxError> {
    let (depth, at) = (left.depth.max(right.depth), left.at);
    match infix {
        Infix::Or => logic(left, right, "each side of OR", false),
        Infix::And => logic(left, right, "each side of AND", true),
        Infix::Equal | Infix::NotEqual => {
            equatable(&left, &right)?;
            let equal = Test::Equal(left.operand, right.operand);
            match infix {
                Infix::Equal => built_test(equal, depth, at),
                _ => built_test(Test::Not(Box::new(equal)), depth + 1, at),
            }
        }
        Infix::Order(order) => {
            comparable(&left)?;
            comparable(&right)?;
            built_test(Test::Order(order, left.operand, right.operand), depth, at)
        }
    }
}

/// AND or OR. A chain of one of them is one node, however long: left to right is the order of both.
fn logic(left: Built, right: Built, what: &str, and: bool) -> Result<Built, SyntaxError> {
    let (left_depth, right_depth, at) = (left.depth, right.depth, left.at);
    let (left, right) = (test(left, what)?, test(right, what)?);
    let (mut tests, depth) = match (left, and) {
        (Test::All(tests), true) | (Test::Any(tests), false) => (tests, (left_depth - 1).max(right_depth)),
        (left, _) => (vec![left], left_depth.max(right_depth)),
    };
    tests.push(right);
    built_test(if and { Test::All(tests) } else { Test::Any(tests) }, depth, at)
}

/// IS NULL, IS NOT NULL.
pub(super) fn is_null(operand: Built, negated: bool) -> Result<Built, SyntaxError> {
    let (depth, at) = (operand.depth, operand.at);
    let test = Test::IsNull(operand.operand);
    match negated {
        true => built_test(Test::Not(Box::new(test)), depth + 1, at),
        false => built_test(test, depth, at),
    }
}

/// BETWEEN, NOT BETWEEN.
pub(super) fn between(value: Built, low: Built, high: Built, negated: bool) -> Result<Built, SyntaxError> {
    [&value, &low, &high].into_iter().try_for_each(comparable)?;
    if let (Operand::Number(least), Operand::Number(most), false) = (&low.operand, &high.operand, negated) {
        if as_double(*least) > as_double(*most) || is_above(*least, *most) {
            let reason =
                format!("the lower bound of BETWEEN, {}, is above the upper one", shown(&low.operand));
            return Err(SyntaxError::new(low.at, reason));
        }
    }
    let depth = value.depth.max(low.depth).max(high.depth);
    let test = Test::Between { value: value.operand, low: low.operand, high: high.operand, negated };
    built_test(test, depth, value.at)
}

/// IN, NOT IN.
pub(super) fn within(
    operand: Built,
    at: usize,
    mut list: Vec<Box<str>>,
    negated: bool,
) -> Result<Built, SyntaxError> {
    let Operand::Property(slot) = operand.operand else {
        let reason = format!("on the left of IN stands a property, but {} is none", shown(&operand.operand));
        return Err(SyntaxError::new(at, reason));
    };
    list.sort_unstable();
    list.dedup();
    built_test(Test::In { slot, list: list.into(), negated }, operand.depth, operand.at)
}

/// CONTAINS and the like.
pub(super) fn search(
    search: Search,
    operand: Built,
    text: Box<str>,
    negated: bool,
) -> Result<Built, SyntaxError> {
    let (depth, at) = (operand.depth, operand.at);
    built_test(Test::Search { search, operand: operand.operand, text, negated }, depth, at)
}

/// Only what can be a number may be ordered; of a property that is seen with each message.
fn comparable(operand: &Built) -> Result<(), SyntaxError> {
    match operand.operand {
        Operand::Text(_) | Operand::Test(_) => {
            let shown = shown(&operand.operand);
            Err(SyntaxError::new(
                operand.at,
                format!("{shown} has no order; only numbers and properties have"),
            ))
        }
        Operand::Property(_) | Operand::Number(_) | Operand::Negated(_) => Ok(()),
    }
}

fn constant(operand: &Operand) -> Option<Option<bool>> {
    match operand {
        Operand::Test(test) => match **test {
            Test::Constant(constant) => Some(constant),
            _ => None,
        },
        _ => None,
    }
}

fn equatable(left: &Built, right: &Built) -> Result<(), SyntaxError> {
    for side in [left, right] {
        if constant(&side.operand) == Some(None) {
            return Err(SyntaxError::new(side.at, "nothing is equal to NULL; write IS NULL or IS NOT NULL"));
        }
    }
    let literal = matches!(right.operand, Operand::Number(_) | Operand::Text(_));
    if literal && constant(&left.operand).is_some() {
        let reason = format!("a boolean is never equal to {}", shown(&right.operand));
        return Err(SyntaxError::new(right.at, reason));
    }
    Ok(())
}

fn as_double(number: Number) -> f64 {
    match number {
        Number::Int(number) => number.into(),
        Number::Long(number) => number as f64,
        Number::Double(number) => number,
    }
}

/// Exactly, where both are integers.
fn is_above(least: Number, most: Number) -> bool {
    let integer = |number| match number {
        Number::Int(number) => Some(i64::from(number)),
        Number::Long(number) => Some(number),
        Number::Double(_) => None,
    };
    match (integer(least), integer(most)) {
        (Some(least), Some(most)) => least > most,
        _ => compare_doubles(as_double(least), as_double(most)).is_gt(),
    }
}

/// For messages: what an operand is.
fn shown(operand: &Operand) -> String {
    match operand {
        Operand::Number(Number::Int(number)) => format!("the number {number}"),
        Operand::Number(Number::Long(number)) => format!("the number {number}"),
        Operand::Number(Number::Double(number)) => format!("the number {number}"),
        Operand::Text(text) => format!("the string '{}'", shortened(text)),
        Operand::Negated(_) => "a negative number".into(),
        Operand::Property(_) => "a property".into(),
        Operand::Test(_) => match constant(operand) {
            Some(Some(true)) => "TRUE".into(),
            Some(Some(false)) => "FALSE".into(),
            Some(None) => "NULL".into(),
            None => "a condition".into(),
        },
    }
}
