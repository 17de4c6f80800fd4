//! Tokens to the compiled form. The parser keeps what waits for its right side on a stack of its own, so that nesting
//! costs no stack of the thread; what is nested deeper than the limits is refused.

use std::collections::HashMap;

use super::build::{self, Built};
use super::node::{Number, Operand, Order, Search, Test};
use super::token::{Kind, Token, Tokens};
use super::{SyntaxError, MAX_NESTING, MAX_OPERANDS};

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Infix {
    Or,
    And,
    Equal,
    NotEqual,
    Order(Order),
}

/// What follows an operand: THE place to look when adding an operator. A new one needs its token in `token.rs`, a
/// row in [`following`] with its level, what makes a node of it in `build.rs`, and its evaluation in `node.rs`.
#[derive(Debug, Clone, Copy)]
enum Following {
    Infix(Infix),
    /// IS: `NULL` or `NOT NULL` follows.
    Is,
    /// BETWEEN: a bound, AND and a bound follow.
    Between,
    /// IN: a list of strings follows.
    In,
    /// CONTAINS and the like: a string follows.
    Search(Search),
    /// NOT: one of the three above follows.
    Not,
}

/// The operator that a token stands for behind an operand, and its level: the higher, the tighter it binds. Operators of
/// one level associate to the left. `None`: the token ends the expression.
fn following(kind: Kind) -> Option<(u8, Following)> {
    use Following::{Between, In, Infix as Two, Is, Not, Search as Find};
    Some(match kind {
        Kind::Or => (1, Two(Infix::Or)),
        Kind::And => (2, Two(Infix::And)),
        Kind::Equal => (3, Two(Infix::Equal)),
        Kind::NotEqual => (3, Two(Infix::NotEqual)),
        Kind::Is => (3, Is),
        Kind::Greater => (4, Two(Infix::Order(Order::Greater))),
        Kind::GreaterOrEqual => (4, Two(Infix::Order(Order::GreaterOrEqual))),
        Kind::Less => (4, Two(Infix::Order(Order::Less))),
        Kind::LessOrEqual => (4, Two(Infix::Order(Order::LessOrEqual))),
        Kind::Between => (4, Between),
        Kind::In => (4, In),
        Kind::Contains => (4, Find(Search::Contains)),
        Kind::StartsWith => (4, Find(Search::StartsWith)),
        Kind::EndsWith => (4, Find(Search::EndsWith)),
        Kind::Not => (4, Not),
        _ => return None,
    })
}

/// What waits for the operand to its right.
enum Waiting {
    Open,
    Not,
    Minus,
    Infix { level: u8, infix: Infix, left: Built },
    Low { value: Built, negated: bool },
    High { value: Built, low: Built, negated: bool },
}

/// What was parsed.
pub(super) struct Parsed {
    pub test: Test,
    /// The properties, by slot.
    pub names: Vec<Box<str>>,
    /// Where the part begins that is ignored, if there is one.
    pub ignored_from: Option<usize>,
}

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Result<Parsed, SyntaxError> {
    let mut parser = Parser {
        tokens: Tokens::new(text),
        waiting: Vec::new(),
        nesting: 0,
        names: Vec::new(),
        slots: HashMap::new(),
        leaves: 0,
    };
    let whole = parser.expression()?;
    let test = build::test(whole, "the whole expression")?;
    let rest = parser.tokens.peek()?;
    let ignored_from = (rest.kind != Kind::End).then_some(rest.at);
    Ok(Parsed { test, names: parser.names, ignored_from })
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    waiting: Vec<Waiting>,
    /// Parentheses and prefixes among what waits.
    nesting: usize,
    names: Vec<Box<str>>,
    slots: HashMap<Box<str>, usize>,
    /// Operands so far.
    leaves: usize,
}

impl Parser<'_> {
    /// Reads as far as the grammar goes.
    fn expression(&mut self) -> Result<Built, SyntaxError> {
        loop {
            let mut operand = self.operand()?;
            // Behind IS NULL the grammar goes on with what binds no tighter; anything else ends the expression.
            let mut tightest = u8::MAX;
            loop {
                operand = self.bind_prefixes(operand)?;
                let token = self.tokens.peek()?;
                if let Some(Waiting::Low { .. }) = self.waiting.last() {
                    self.low_bound(operand)?;
                    break;
                }
                let follows = following(token.kind).filter(|(level, _)| *level <= tightest);
                operand = self.bind(operand, follows.map_or(0, |(level, _)| level))?;
                operand = match (follows, self.waiting.last()) {
                    (Some((level, follows)), _) => {
                        self.tokens.next()?;
                        tightest = level;
                        match self.follow(level, follows, token, operand)? {
                            Some(operand) => operand,
                            None => break,
                        }
                    }
                    (None, Some(Waiting::Open)) => {
                        self.tokens.expect(Kind::Close, "`)` or an operator")?;
                        self.waiting.pop();
                        self.nesting -= 1;
                        tightest = u8::MAX;
                        operand
                    }
                    (None, _) => return Ok(operand),
                };
            }
        }
    }

    /// Reads up to the next operand; what stands before it waits.
    fn operand(&mut self) -> Result<Built, SyntaxError> {
        loop {
            let token = self.tokens.next()?;
            let waiting = match token.kind {
                Kind::Open => Waiting::Open,
                Kind::Not => Waiting::Not,
                Kind::Minus => Waiting::Minus,
                Kind::Plus => continue,
                _ => return self.leaf(token),
            };
            self.nesting += 1;
            if self.nesting > MAX_NESTING {
                let reason = format!("more than {MAX_NESTING} parentheses and signs are open here");
                return Err(SyntaxError::new(token.at, reason));
            }
            self.waiting.push(waiting);
        }
    }

    fn leaf(&mut self, token: Token<'_>) -> Result<Built, SyntaxError> {
        self.leaves += 1;
        if self.leaves > MAX_OPERANDS {
            let reason = format!("the expression has more than {MAX_OPERANDS} operands");
            return Err(SyntaxError::new(token.at, reason));
        }
        let operand = match token.kind {
            Kind::Name => Operand::Property(self.slot(token.text)),
            Kind::Integer => Operand::Number(build::integer(token)?),
            Kind::Float => Operand::Number(Number::Double(build::float(token)?)),
            Kind::Text => Operand::Text(build::text(token.text)),
            Kind::True => Operand::Test(Box::new(Test::Constant(Some(true)))),
            Kind::False => Operand::Test(Box::new(Test::Constant(Some(false)))),
            Kind::Null => Operand::Test(Box::new(Test::Constant(None))),
            _ => {
                let reason = format!("a property, a literal or `(` is expected, found {}", token.shown());
                return Err(SyntaxError::new(token.at, reason));
            }
        };
        Ok(Built { operand, depth: 1, at: token.at })
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        self.slots.insert(name.into(), self.names.len());
        self.names.push(name.into());
        self.names.len() - 1
    }

    /// Applies NOT and minus, which bind tighter than everything.
    fn bind_prefixes(&mut self, mut operand: Built) -> Result<Built, SyntaxError> {
        loop {
            operand = match self.waiting.last() {
                Some(Waiting::Not) => build::not(operand)?,
                Some(Waiting::Minus) => build::negate(operand)?,
                _ => return Ok(operand),
            };
            self.waiting.pop();
            self.nesting -= 1;
        }
    }

    /// Gives the operand to what waits for it and binds at least as tightly as `level`.
    fn bind(&mut self, mut operand: Built, level: u8) -> Result<Built, SyntaxError> {
        loop {
            operand = match self.waiting.pop() {
                Some(Waiting::Infix { level: tighter, infix, left }) if tighter >= level => {
                    build::infix(infix, left, operand)?
                }
                Some(Waiting::High { value, low, negated }) => build::between(value, low, operand, negated)?,
                other => {
                    self.waiting.extend(other);
                    return Ok(operand);
                }
            };
        }
    }

    /// The lower bound of a BETWEEN is there: its AND has to follow.
    fn low_bound(&mut self, low: Built) -> Result<(), SyntaxError> {
        self.tokens.expect(Kind::And, "AND and the upper bound of BETWEEN")?;
        if let Some(Waiting::Low { value, negated }) = self.waiting.pop() {
            self.waiting.push(Waiting::High { value, low, negated });
        }
        Ok(())
    }

    /// An operator stands behind the operand: either completes it, or puts it where it waits for its right side.
    fn follow(
        &mut self,
        level: u8,
        follows: Following,
        token: Token<'_>,
        operand: Built,
    ) -> Result<Option<Built>, SyntaxError> {
        let (follows, negated) = match follows {
            Following::Not => {
                let next = self.tokens.next()?;
                match following(next.kind) {
                    Some((_, of @ (Following::Between | Following::In | Following::Search(_)))) => (of, true),
                    _ => {
                        let wanted = "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH behind NOT is expected";
                        return Err(SyntaxError::new(next.at, format!("{wanted}, found {}", next.shown())));
                    }
                }
            }
            other => (other, false),
        };
        let built = match follows {
            Following::Infix(infix) => {
                self.waiting.push(Waiting::Infix { level, infix, left: operand });
                return Ok(None);
            }
            Following::Between => {
                self.waiting.push(Waiting::Low { value: operand, negated });
                return Ok(None);
            }
            Following::Is => {
                let negated = self.tokens.peek()?.kind == Kind::Not;
                if negated {
                    self.tokens.next()?;
                }
                self.tokens.expect(Kind::Null, "NULL or NOT NULL behind IS")?;
                build::is_null(operand, negated)?
            }
            Following::In => {
                let list = self.list()?;
                build::within(operand, token.at, list, negated)?
            }
            Following::Search(search) => {
                let text = self.tokens.expect(Kind::Text, "a string in single quotes")?.text;
                build::search(search, operand, build::text(text), negated)?
            }
            Following::Not => return Ok(Some(operand)),
        };
        Ok(Some(built))
    }

    fn list(&mut self) -> Result<Vec<Box<str>>, SyntaxError> {
        self.tokens.expect(Kind::Open, "`(` and a list of strings")?;
        let mut list = Vec::new();
        loop {
            list.push(build::text(self.tokens.expect(Kind::Text, "a string in single quotes")?.text));
            if self.tokens.peek()?.kind != Kind::Comma {
                self.tokens.expect(Kind::Close, "`,` or `)`")?;
                return Ok(list);
            }
            self.tokens.next()?;
        }
    }
}
