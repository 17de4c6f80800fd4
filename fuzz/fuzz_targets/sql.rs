//! SQL92: text up to the first 0, an encoded property string behind it. Nothing panics, errors lie within the text, and
//! what a record holds is judged as the properties that are read from it.

#![no_main]

use ferromq::filter::SqlExpression;
use ferromq::Properties;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (text, encoded) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match SqlExpression::parse(text) {
        Ok(expression) => {
            let properties = Properties::parse(encoded);
            let result = expression.evaluate(&properties);
            let matches = matches!(result, Ok(Some(true)));
            assert_eq!(expression.matches(&properties), matches);
            assert_eq!(expression.matches_encoded(encoded), matches);
            assert!(text.ends_with(expression.ignored().unwrap_or_default()));
            // Whatever is read whole compiles between parentheses, too, unless a limit of nesting is near. No line end is
            // added: `--` begins a comment only before one, and is two signs otherwise.
            if expression.ignored().is_none() && text.len() < 900 {
                let again = SqlExpression::parse(&format!("({text})"));
                assert!(again.is_ok_and(|again| again.matches(&properties) == matches));
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.position()) && error.column() > 0);
            assert!(error.reason().len() < 1000);
        }
    }
});
