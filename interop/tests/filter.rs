//! Our SQL92 filter against Apache's own: the same expressions, the same properties, the same results.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use ferromq::filter::SqlExpression;
use ferromq::Properties;
use ferromq_interop::java::{self, Line};

/// Always the same numbers: a difference that was found is found again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const NAMES: &[&str] = &["a", "b", "c", "TAGS", "$x_1", "A"];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "5",
    "7L",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "5.0",
    ".5",
    "5.",
    "1E2",
    "1e-400",
    "1e400",
    "0.0",
    "05",
    "5.5e1",
    "4.9E-324",
];
const STRINGS: &[&str] =
    &["'x'", "'5'", "''", "'it''s'", "'true'", "'TRUE'", "'xyz'", "'é'", "'5.0'", "' 5'"];
const VALUES: &[&str] = &[
    "1",
    "5",
    "x",
    "xyz",
    "true",
    "TRUE",
    "it's",
    "5.0",
    " 5",
    "5 ",
    "\t5.5",
    "2147483648",
    "-1",
    "+5",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e3",
    "2f",
    "2d",
    "0x10",
    "0x1p4",
    "0x1.8p-1",
    "1_0",
    "5L",
    "é",
    "-0",
    "-0.0",
    "0",
    "9223372036854775808",
    "nan",
    "inf",
    "1e999",
    "+-5",
    ".",
    "5.",
    ".5",
    "0x1p",
    "0x.8P1f",
    "''",
];
const NOISE: &[&str] = &[
    "(",
    ")",
    "NOT",
    "AND",
    "OR",
    "=",
    "<>",
    ">",
    ">=",
    "<",
    "<=",
    "+",
    "-",
    "BETWEEN",
    "IN",
    ",",
    "IS",
    "NULL",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
    "LIKE",
    "/* c */",
    "/*",
    "--",
    "-- c\n",
    "\n",
    "'",
    "\"",
    ".",
    "%",
    "!=",
    "==",
    "é",
    "1a",
    "a.b",
    "not",
    "nUlL",
    "TRUE",
    "false",
];

fn operand(numbers: &mut Numbers, depth: usize) -> String {
    match numbers.below(12) {
        0..=4 => numbers.one_of(NAMES).to_owned(),
        5..=7 => numbers.one_of(NUMBERS).to_owned(),
        8 => numbers.one_of(STRINGS).to_owned(),
        9 => format!("{}{}", numbers.one_of(&["-", "+", "- -", "+ -"]), operand(numbers, depth)),
        10 if depth > 0 => format!("({})", condition(numbers, depth - 1)),
        11 => numbers.one_of(&["TRUE", "FALSE", "NULL"]).to_owned(),
        _ => format!("({})", numbers.one_of(NAMES)),
    }
}

fn condition(numbers: &mut Numbers, depth: usize) -> String {
    let not = ["", "NOT "][numbers.below(2)];
    match numbers.below(if depth > 0 { 13 } else { 8 }) {
        0 | 1 => {
            let (left, right) = (operand(numbers, depth), operand(numbers, depth));
            format!("{left} {} {right}", numbers.one_of(&[">", ">=", "<", "<="]))
        }
        2 | 3 => {
            let (left, right) = (operand(numbers, depth), operand(numbers, depth));
            format!("{left} {} {right}", numbers.one_of(&["=", "<>"]))
        }
        4 => {
            let [value, low, high] = [(); 3].map(|()| operand(numbers, depth));
            format!("{value} {not}BETWEEN {low} AND {high}")
        }
        5 => {
            let list: Vec<_> = (0..=numbers.below(8)).map(|_| numbers.one_of(STRINGS)).collect();
            format!("{} {not}IN ({})", operand(numbers, 0), list.join(","))
        }
        6 => {
            let search = numbers.one_of(&["CONTAINS", "STARTSWITH", "endswith"]);
            format!("{} {not}{search} {}", operand(numbers, depth), numbers.one_of(STRINGS))
        }
        7 => format!("{} IS {not}NULL", operand(numbers, depth)),
        8 | 9 => format!("{} AND {}", condition(numbers, depth - 1), condition(numbers, depth - 1)),
        10 => format!("{} OR {}", condition(numbers, depth - 1), condition(numbers, depth - 1)),
        11 => format!("NOT ({})", condition(numbers, depth - 1)),
        _ => format!("({})", condition(numbers, depth - 1)),
    }
}

/// An expression, often with something wrong in it.
fn expression(numbers: &mut Numbers) -> String {
    let mut text = condition(numbers, 3);
    match numbers.below(6) {
        0 => {
            let words: Vec<&str> = text.split(' ').collect();
            let at = numbers.below(words.len());
            let mut words = words;
            match numbers.below(3) {
                0 => words[at] = numbers.one_of(NOISE),
                1 => words.insert(at, numbers.one_of(NOISE)),
                _ => drop(words.remove(at)),
            }
            text = words.join(" ");
        }
        1 => text = (0..numbers.below(10)).map(|_| numbers.one_of(NOISE)).collect::<Vec<_>>().join(" "),
        2 => text = text.replace(' ', ["", "\t", "\n", " /* */ "][numbers.below(4)]),
        _ => {}
    }
    text
}

fn properties(numbers: &mut Numbers) -> Properties {
    (0..numbers.below(6)).map(|_| (numbers.one_of(NAMES), numbers.one_of(VALUES))).collect()
}

fn ours(expression: &str, properties: &Properties) -> String {
    let Ok(compiled) = SqlExpression::parse(expression) else { return "compile".into() };
    let result = compiled.evaluate(properties);
    assert_eq!(
        compiled.matches_encoded(&properties.encode()),
        matches!(result, Ok(Some(true))),
        "{expression}"
    );
    match result {
        Ok(Some(result)) => result.to_string(),
        Ok(None) => "null".into(),
        Err(_) => "eval".into(),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn results_are_those_of_apaches_filter() {
    java::build().unwrap();
    let soak = std::env::var_os("FERROMQ_SOAK").is_some();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let count = if soak { 500_000 } else { 50_000 };
    let cases: Vec<_> = (0..count).map(|_| (expression(&mut numbers), properties(&mut numbers))).collect();
    let mut oracle = Command::new("java")
        .args(["-XX:+UseSerialGC", "-cp", &java::driver_class_path(Line::V53), "interop.SqlOracle"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (oracle.stdin.take().unwrap(), oracle.stdout.take().unwrap());
    let mut answers = String::new();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for (expression, properties) in &cases {
                let (text, pairs) = (hexadecimal(expression.as_bytes()), hexadecimal(&properties.encode()));
                writeln!(input, "{text},{pairs}").unwrap();
            }
            drop(input);
        });
        output.read_to_string(&mut answers).unwrap();
    });
    assert!(oracle.wait().unwrap().success());
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!(answers.len(), cases.len());
    let mut kinds = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for ((expression, properties), theirs) in cases.iter().zip(answers) {
        *kinds.entry(theirs).or_insert(0) += 1;
        let ours = ours(expression, properties);
        if ours != theirs {
            let properties: Vec<_> = properties.iter().collect();
            wrong.push(format!("{expression:?} with {properties:?}: {theirs} there, {ours} here"));
        }
    }
    println!("{kinds:?}");
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(kinds.len() == 5 && kinds.values().all(|count| *count > 100), "{kinds:?}");
}
