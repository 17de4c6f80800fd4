//! The compiled form: a tree of tests over operands, and its evaluation.

use std::cmp::Ordering;

use super::error::Fault;
use super::number;

/// How a property is found: its place in the expression's list of names.
pub(super) trait Lookup<'a> {
    fn property(&self, slot: usize) -> Option<&'a str>;
}

/// A value; `None` where one is asked for means null.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Truth(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Text(&'a str),
}

/// A number that stands in the expression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Int(i32),
    Long(i64),
    Double(f64),
}

/// What yields a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Property(usize),
    Number(Number),
    Text(Box<str>),
    Negated(Box<Operand>),
    /// A test within a comparison.
    Test(Box<Test>),
}

/// The comparisons that need an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// How a text is searched for in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// What yields true, false or null.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Constant(Option<bool>),
    /// A bare property: its value is a text, never a boolean, so the result is false, or null where it is missing.
    Property(usize),
    /// AND of two or more.
    All(Vec<Test>),
    /// OR of two or more.
    Any(Vec<Test>),
    Not(Box<Test>),
    Equal(Operand, Operand),
    IsNull(Operand),
    Order(Order, Operand, Operand),
    Between {
        value: Operand,
        low: Operand,
        high: Operand,
        negated: bool,
    },
    /// The list is sorted.
    In {
        slot: usize,
        list: Box<[Box<str>]>,
        negated: bool,
    },
    Search {
        search: Search,
        operand: Operand,
        text: Box<str>,
        negated: bool,
    },
}

impl Test {
    /// The result for the properties behind `lookup`; `None` is null.
    pub fn evaluate<'a>(&'a self, lookup: &impl Lookup<'a>) -> Result<Option<bool>, Fault<'a>> {
        match self {
            Test::Constant(result) => Ok(*result),
            Test::Property(slot) => Ok(lookup.property(*slot).map(|_| false)),
            Test::All(tests) => decide(tests, false, lookup),
            Test::Any(tests) => decide(tests, true, lookup),
            Test::Not(test) => Ok(test.evaluate(lookup)?.map(|result| !result)),
            Test::Equal(left, right) => equal(left.evaluate(lookup)?, right.evaluate(lookup)?),
            Test::IsNull(operand) => Ok(Some(operand.evaluate(lookup)?.is_none())),
            Test::Order(order, left, right) => {
                let Some(left) = left.evaluate(lookup)? else { return Ok(None) };
                ordered(*order, left, right.evaluate(lookup)?)
            }
            Test::Between { value, low, high, negated } => between(value, low, high, *negated, lookup),
            Test::In { slot, list, negated } => {
                let Some(value) = lookup.property(*slot) else { return Ok(None) };
                Ok(Some(is_in(list, value) != *negated))
            }
            Test::Search { search, operand, text, negated } => {
                if text.is_empty() {
                    return Ok(Some(false));
                }
                let Some(Value::Text(value)) = operand.evaluate(lookup)? else { return Ok(Some(false)) };
                let found = match search {
                    Search::Contains => value.contains(&**text),
                    Search::StartsWith => value.starts_with(&**text),
                    Search::EndsWith => value.ends_with(&**text),
                };
                Ok(Some(found != *negated))
            }
        }
    }
}

impl Operand {
    fn evaluate<'a>(&'a self, lookup: &impl Lookup<'a>) -> Result<Option<Value<'a>>, Fault<'a>> {
        Ok(match self {
            Operand::Property(slot) => lookup.property(*slot).map(Value::Text),
            Operand::Number(Number::Int(number)) => Some(Value::Int(*number)),
            Operand::Number(Number::Long(number)) => Some(Value::Long(*number)),
            Operand::Number(Number::Double(number)) => Some(Value::Double(*number)),
            Operand::Text(text) => Some(Value::Text(text)),
            Operand::Test(test) => test.evaluate(lookup)?.map(Value::Truth),
            Operand::Negated(operand) => match operand.evaluate(lookup)? {
                Some(Value::Int(number)) => Some(Value::Int(number.wrapping_neg())),
                Some(Value::Long(number)) => Some(Value::Long(number.wrapping_neg())),
                Some(Value::Double(number)) => Some(Value::Double(-number)),
                // A property is a text, not a number.
                Some(Value::Text(_) | Value::Truth(_)) | None => None,
            },
        })
    }
}

/// AND (`decisive` false) or OR (`decisive` true): the first decisive result ends it, else null if one was null.
fn decide<'a>(
    tests: &'a [Test],
    decisive: bool,
    lookup: &impl Lookup<'a>,
) -> Result<Option<bool>, Fault<'a>> {
    let mut result = Some(!decisive);
    for test in tests {
        match test.evaluate(lookup)? {
            Some(one) if one == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => result = None,
        }
    }
    Ok(result)
}

/// `=`: null if only the left side is null, false if only the right one is.
fn equal<'a>(left: Option<Value<'a>>, right: Option<Value<'a>>) -> Result<Option<bool>, Fault<'a>> {
    match (left, right) {
        (None, None) => Ok(Some(true)),
        (None, Some(_)) => Ok(None),
        (Some(_), None) => Ok(Some(false)),
        (Some(Value::Text(left)), Some(Value::Text(right))) => Ok(Some(left == right)),
        (Some(left), Some(right)) => Ok(Some(compare(left, right)?.is_eq())),
    }
}

fn ordered<'a>(order: Order, left: Value<'a>, right: Option<Value<'a>>) -> Result<Option<bool>, Fault<'a>> {
    let Some(right) = right else { return Ok(None) };
    let ordering = match (left, right) {
        (Value::Text(left), Value::Text(right)) => compare_doubles(to_double(left)?, to_double(right)?),
        _ => compare(left, right)?,
    };
    Ok(Some(match order {
        Order::Greater => ordering.is_gt(),
        Order::GreaterOrEqual => ordering.is_ge(),
        Order::Less => ordering.is_lt(),
        Order::LessOrEqual => ordering.is_le(),
    }))
}

/// `value >= low AND value <= high`, or `value < low OR value > high`.
fn between<'a>(
    value: &'a Operand,
    low: &'a Operand,
    high: &'a Operand,
    negated: bool,
    lookup: &impl Lookup<'a>,
) -> Result<Option<bool>, Fault<'a>> {
    let Some(value) = value.evaluate(lookup)? else { return Ok(None) };
    let (below, above) =
        if negated { (Order::Less, Order::Greater) } else { (Order::GreaterOrEqual, Order::LessOrEqual) };
    let first = ordered(below, value, low.evaluate(lookup)?)?;
    if first == Some(negated) {
        return Ok(first);
    }
    let second = ordered(above, value, high.evaluate(lookup)?)?;
    Ok(if second == Some(negated) || first.is_some() { second } else { None })
}

/// Lists from here on are searched by halves.
const LONG_LIST: usize = 8;

fn is_in(list: &[Box<str>], value: &str) -> bool {
    if list.len() < LONG_LIST {
        return list.iter().any(|one| **one == *value);
    }
    list.binary_search_by(|one| (**one).cmp(value)).is_ok()
}

/// Compares after converting a text to the type of the other side. Types that do not convert compare as "less".
fn compare<'a>(left: Value<'a>, right: Value<'a>) -> Result<Ordering, Fault<'a>> {
    use Value::{Double, Int, Long, Text, Truth};
    Ok(match (left, right) {
        (Text(left), Text(right)) => left.cmp(right),
        (Int(left), Int(right)) => left.cmp(&right),
        (Text(left), Int(right)) => to_int(left)?.cmp(&right),
        (Int(left), Text(right)) => left.cmp(&to_int(right)?),
        (Long(left), Long(right)) => left.cmp(&right),
        (Long(left), Int(right)) => left.cmp(&i64::from(right)),
        (Int(left), Long(right)) => i64::from(left).cmp(&right),
        (Text(left), Long(right)) => to_long(left)?.cmp(&right),
        (Long(left), Text(right)) => left.cmp(&to_long(right)?),
        (Double(left), Double(right)) => compare_doubles(left, right),
        (Double(left), Int(right)) => compare_doubles(left, right.into()),
        (Int(left), Double(right)) => compare_doubles(left.into(), right),
        (Double(left), Long(right)) => compare_doubles(left, right as f64),
        (Long(left), Double(right)) => compare_doubles(left as f64, right),
        (Text(left), Double(right)) => compare_doubles(to_double(left)?, right),
        (Double(left), Text(right)) => compare_doubles(left, to_double(right)?),
        (Truth(left), Truth(right)) => left.cmp(&right),
        (Text(left), Truth(right)) => left.eq_ignore_ascii_case("true").cmp(&right),
        (Truth(_), Text(right)) => return Err(Fault::BooleanAgainst(right)),
        (Truth(_), Int(_) | Long(_) | Double(_)) | (Int(_) | Long(_) | Double(_), Truth(_)) => Ordering::Less,
    })
}

/// Java's order of doubles: all NaN are one and the largest; -0.0 is smaller than 0.0.
pub(super) fn compare_doubles(left: f64, right: f64) -> Ordering {
    let one_nan = |value: f64| if value.is_nan() { f64::NAN.abs() } else { value };
    one_nan(left).total_cmp(&one_nan(right))
}

fn to_int(text: &str) -> Result<i32, Fault<'_>> {
    number::int(text).ok_or(Fault::NotA("a 32-bit integer", text))
}

fn to_long(text: &str) -> Result<i64, Fault<'_>> {
    number::long(text).ok_or(Fault::NotA("a 64-bit integer", text))
}

fn to_double(text: &str) -> Result<f64, Fault<'_>> {
    number::double(text).ok_or(Fault::NotA("a number", text))
}
