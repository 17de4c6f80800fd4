//! Text to tokens, one at a time: what stands behind the end of an expression is never looked at.
//!
//! Facts: the lexical rules of Apache's grammar (SelectorParser.jj). The longest token wins.

use super::SyntaxError;

/// What a token is. Literals keep their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Integer,
    Float,
    /// With its quotes, inner ones doubled.
    Text,
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Plus,
    Minus,
    Open,
    Close,
    Comma,
    End,
}

/// Words that are no property names, in any case.
const WORDS: &[(&str, Kind)] = &[
    ("NOT", Kind::Not),
    ("AND", Kind::And),
    ("OR", Kind::Or),
    ("BETWEEN", Kind::Between),
    ("IN", Kind::In),
    ("TRUE", Kind::True),
    ("FALSE", Kind::False),
    ("NULL", Kind::Null),
    ("IS", Kind::Is),
    ("CONTAINS", Kind::Contains),
    ("STARTSWITH", Kind::StartsWith),
    ("ENDSWITH", Kind::EndsWith),
];

/// Signs, longer ones first.
const SIGNS: &[(&str, Kind)] = &[
    ("<>", Kind::NotEqual),
    (">=", Kind::GreaterOrEqual),
    ("<=", Kind::LessOrEqual),
    ("=", Kind::Equal),
    (">", Kind::Greater),
    ("<", Kind::Less),
    ("+", Kind::Plus),
    ("-", Kind::Minus),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
];

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Byte offset in the expression.
    pub at: usize,
}

impl Token<'_> {
    /// For messages: what was found.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::End => "the end".into(),
            _ => format!("`{}`", super::error::shortened(self.text)),
        }
    }
}

/// Reads tokens, one ahead.
pub(super) struct Tokens<'a> {
    text: &'a str,
    at: usize,
    peeked: Option<Token<'a>>,
    /// No line ends behind here: each `--` would look for one again.
    no_line_end: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a str) -> Self {
        Tokens { text, at: 0, peeked: None, no_line_end: false }
    }

    /// The next token, which stays the next one.
    pub fn peek(&mut self) -> Result<Token<'a>, SyntaxError> {
        let token = match self.peeked {
            Some(token) => token,
            None => self.read()?,
        };
        self.peeked = Some(token);
        Ok(token)
    }

    /// Takes the next token.
    pub fn next(&mut self) -> Result<Token<'a>, SyntaxError> {
        let token = self.peek()?;
        self.peeked = None;
        Ok(token)
    }

    /// Takes the next token, which has to be of this kind.
    pub fn expect(&mut self, kind: Kind, wanted: &str) -> Result<Token<'a>, SyntaxError> {
        let token = self.next()?;
        match token.kind == kind {
            true => Ok(token),
            false => {
                Err(SyntaxError::new(token.at, format!("{wanted} is expected, found {}", token.shown())))
            }
        }
    }

    fn read(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.skip_blanks();
        let (at, rest) = (self.at, &self.text[self.at..]);
        let (kind, len) = match rest.bytes().next() {
            None => (Kind::End, 0),
            Some(b'\'') => (Kind::Text, text_len(rest).ok_or_else(|| unterminated(at))?),
            Some(first) if is_name_start(first) => {
                let len =
                    rest.bytes().take_while(|byte| is_name_start(*byte) || byte.is_ascii_digit()).count();
                (word(&rest[..len]), len)
            }
            Some(_) => number(rest).or_else(|| sign(rest)).ok_or_else(|| illegal(at, rest))?,
        };
        self.at += len;
        Ok(Token { kind, text: &rest[..len], at })
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let blank = rest.bytes().take_while(|byte| b" \t\n\r\x0c".contains(byte)).count();
            let skipped = if blank > 0 { blank } else { self.comment_len() };
            if skipped == 0 {
                return;
            }
            self.at += skipped;
        }
    }

    /// Length of the comment that follows, or 0. Without its line end, `--` is no comment but two minuses.
    fn comment_len(&mut self) -> usize {
        let rest = &self.text[self.at..];
        if rest.starts_with("--") && !self.no_line_end {
            let end = rest.find(['\n', '\r']);
            self.no_line_end = end.is_none();
            return end.map_or(0, |end| end + 1);
        }
        match rest.strip_prefix("/*").and_then(|inner| inner.find("*/")) {
            Some(inner) => inner + 4,
            None => 0,
        }
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$'
}

fn word(text: &str) -> Kind {
    WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map_or(Kind::Name, |(_, kind)| *kind)
}

fn sign(rest: &str) -> Option<(Kind, usize)> {
    SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)).map(|(sign, kind)| (*kind, sign.len()))
}

/// Length of the string at the start of `rest`: up to the last quote that can end it.
fn text_len(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut at, mut end) = (1, None);
    while let Some(quote) = bytes[at..].iter().position(|byte| *byte == b'\'') {
        at += quote + 1;
        end = Some(at);
        if bytes.get(at) != Some(&b'\'') {
            break;
        }
        at += 1;
    }
    end
}

/// Kind and length of the number at the start of `rest`.
fn number(rest: &str) -> Option<(Kind, usize)> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(0);
    let exponent = |from: usize| -> usize {
        if !matches!(bytes.get(from), Some(b'e' | b'E')) {
            return 0;
        }
        let sign = usize::from(matches!(bytes.get(from + 1), Some(b'+' | b'-')));
        match digits((from + 1 + sign).min(bytes.len())) {
            0 => 0,
            digits => 1 + sign + digits,
        }
    };
    if bytes.get(whole) == Some(&b'.') {
        let fraction = digits(whole + 1);
        if whole + fraction > 0 {
            let len = whole + 1 + fraction;
            return Some((Kind::Float, len + exponent(len)));
        }
    }
    match (whole, exponent(whole)) {
        (0, _) => None,
        (_, 0) if bytes[0] == b'0' => Some((Kind::Integer, 1)),
        (_, 0) => {
            let suffix = usize::from(matches!(bytes.get(whole), Some(b'l' | b'L')));
            Some((Kind::Integer, whole + suffix))
        }
        (_, exponent) => Some((Kind::Float, whole + exponent)),
    }
}

fn unterminated(at: usize) -> SyntaxError {
    SyntaxError::new(at, "the string is not ended; strings stand in single quotes, a quote inside is doubled")
}

fn illegal(at: usize, rest: &str) -> SyntaxError {
    let found = rest.chars().next().unwrap_or_default();
    let hint = match found {
        '"' => "strings stand in single quotes",
        '!' => "write `<>` for not equal, NOT for negation",
        '/' => "a comment that begins with `/*` ends with `*/`",
        '.' | '%' | '*' => "there is no arithmetic, and names hold letters, digits, `_` and `$` only",
        _ => "names hold letters of ASCII, digits, `_` and `$`",
    };
    SyntaxError::new(at, format!("the character {found:?} has no meaning here: {hint}"))
}
