use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Expression, properties, result; produced by running Apache's filters of 5.3 and 4.9. A fourth column, the result of
/// 4.9 where it differs, does not matter here.
const VECTORS: &str = include_str!("../../../tests/fixtures/filter/sql92.tsv");

type Pairs = Vec<(String, String)>;

fn pairs(text: &str) -> Pairs {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("name=value");
        (name.to_owned(), value.to_owned())
    };
    text.split(';').filter(|pair| !pair.is_empty()).map(pair).collect()
}

/// The result as the vectors write it.
fn result(expression: &str, properties: &Properties) -> String {
    let compiled = match SqlExpression::parse(expression) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(error.position() <= expression.len() && error.column() > 0, "{expression}: {error:?}");
            return "compile".into();
        }
    };
    let result = compiled.evaluate(properties);
    assert_eq!(compiled.matches(properties), matches!(result, Ok(Some(true))), "{expression}");
    match result {
        Ok(Some(result)) => result.to_string(),
        Ok(None) => "null".into(),
        Err(_) => "eval".into(),
    }
}

#[test]
fn vectors_of_apache() {
    let mut count = 0;
    for line in VECTORS.lines() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("three columns");
        let (expression, given, expected) = (column().replace("\\n", "\n"), pairs(column()), column());
        let properties: Properties = given.iter().cloned().collect();
        assert_eq!(result(&expression, &properties), expected, "{line}");
        // A record holds no empty values, and Properties::encode leaves them out.
        if given.iter().all(|(_, value)| !value.is_empty()) {
            let compiled = SqlExpression::parse(&expression);
            let matches = compiled.is_ok_and(|compiled| compiled.matches_encoded(&properties.encode()));
            assert_eq!(matches, expected == "true", "{line}");
        }
        count += 1;
    }
    assert_eq!(count, 175);
}

#[test]
fn more_of_what_apache_does() {
    for (expression, given, expected) in [
        ("", "", "compile"),
        ("  ", "", "compile"),
        // Only doubles are trimmed.
        ("a > 5.5", "a= 6 ", "true"),
        ("a > b", "a= 6;b=5", "true"),
        ("a NOT BETWEEN 10 AND 1", "a=5", "true"),
        ("a NOT BETWEEN 10 AND 1", "", "null"),
        ("a BETWEEN b AND 9", "a=10", "false"),
        ("a BETWEEN b AND 9", "a=5", "null"),
        ("a NOT BETWEEN b AND 9", "a=10", "true"),
        ("a BETWEEN 2147483648 AND 2147483647", "a=5", "compile"),
        ("a BETWEEN 9223372036854775807 AND 9223372036854775806", "a=5", "compile"),
        ("a BETWEEN 1 AND NULL", "a=5", "compile"),
        ("a BETWEEN 1 AND 2 AND b BETWEEN 3 AND 4", "a=1;b=3", "true"),
        ("a BETWEEN 1 OR 2", "a=1", "compile"),
        ("(a) IN ('x')", "a=x", "true"),
        ("+a IN ('x')", "a=x", "true"),
        ("-a IN ('x')", "a=x", "compile"),
        ("a IN ('x',)", "a=x", "compile"),
        ("a IN ('a','b','c','d','e','f','g','h','i','b')", "a=h", "true"),
        ("a IN ('a','b','c','d','e','f','g','h','i','b')", "a=j", "false"),
        ("1 CONTAINS 'x'", "", "false"),
        ("'abc' CONTAINS 'b'", "", "true"),
        ("a CONTAINS 'b' CONTAINS 'c'", "a=b", "false"),
        ("NOT -a", "a=1", "compile"),
        ("- -a = 1", "a=1", "null"),
        ("-(a = 1) IS NULL", "a=1", "true"),
        ("TRUE = -1", "", "false"),
        ("1 = TRUE", "", "false"),
        ("'true' = TRUE", "", "true"),
        ("'abc' = 5", "", "eval"),
        ("(a = 1) = b", "a=1;b=true", "eval"),
        ("(a = 1) = b", "a=1", "false"),
        ("(a = 1) = b", "", "true"),
        ("a NOT = 1", "a=1", "compile"),
        ("a IS 1", "a=1", "compile"),
        ("a IS NULL CONTAINS 5", "", "true"),
        ("a IS NULL NOT x", "", "true"),
        ("a IS NULL > 1", "a=1", "false"),
        ("(a IS NULL > 1)", "a=1", "compile"),
        ("(a IS NULL) CONTAINS 'x' = TRUE", "a=1", "false"),
        ("a IS NULL = FALSE IS NOT NULL", "a=1", "true"),
        ("a = 1 IS NOT", "a=1", "compile"),
        ("a = 'x''", "a=x", "compile"),
        ("a = 'x' b 'c''", "a=x", "true"),
        ("a = 'x", "a=x", "compile"),
        ("a = 1 /* open", "a=1", "compile"),
        ("a = 1 /***/", "a=1", "true"),
        ("a /* * ** /* */ = 1", "a=1", "true"),
        ("-- c", "", "compile"),
        ("a = 0L", "a=0", "true"),
        ("a = 5l", "a=5", "true"),
        ("a = 5E", "a=5", "true"),
        ("a = 00.5", "a=0.5", "true"),
        ("a = 1e-400", "a=0", "compile"),
        ("a = -0.5", "a=-0.5", "true"),
        ("1.5 = 1.5", "", "true"),
        ("a = 1.5", "a=NaN", "false"),
        ("a = 'é'", "a=é", "true"),
        ("é = 1", "é=1", "compile"),
        ("A or b = 2", "A=1;b=2", "true"),
        ("null is null and not false", "", "true"),
        ("a = TRUE", "a=1", "false"),
        ("a <> b", "a=1;b=2", "true"),
        ("a = 2 <> 3", "a=2", "true"),
        // An empty value is a value.
        ("a = ''", "a=", "true"),
        ("a <> ''", "a=", "false"),
        ("a = 'x'", "a=", "false"),
        ("a <> 'x'", "a=", "true"),
        ("a IN ('', 'x')", "a=", "true"),
        ("a IN ('x')", "a=", "false"),
        ("a NOT IN ('', 'x')", "a=", "false"),
        ("a NOT IN ('x')", "a=", "true"),
        ("a IS NOT NULL", "a=", "true"),
        ("a > 5", "a=", "eval"),
        ("a BETWEEN 1 AND 2", "a=", "eval"),
        ("a = 5", "a=", "eval"),
        ("a <> 5", "a=", "eval"),
        ("a = b", "a=", "false"),
        ("a CONTAINS 'x'", "a=", "false"),
        ("a NOT CONTAINS 'x'", "a=", "true"),
        ("a = TRUE", "a=", "false"),
    ] {
        let properties: Properties = pairs(given).into_iter().collect();
        assert_eq!(result(expression, &properties), expected, "{expression} with {given}");
    }
}

/// a between 0 and 3, and the often printed example of which the first message is Gotten and the second Missed.
#[test]
fn the_examples_of_the_documentation() {
    let between = SqlExpression::parse("a between 0 and 3").unwrap();
    let numbered = |a: i32| [("a", a.to_string())].into_iter().collect::<Properties>();
    assert_eq!((0..10).filter(|a| between.matches(&numbered(*a))).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(!between.matches(&Properties::new()));

    let ten: Properties = [("a", "10"), ("b", "abc"), ("c", "true")].into_iter().collect();
    let one: Properties = [("a", "1"), ("b", "abc"), ("c", "true")].into_iter().collect();
    let matching = SqlExpression::parse("a > 5 AND b = 'abc'").unwrap();
    assert_eq!([&ten, &one].map(|properties| matching.matches(properties)), [true, false]);
    let misprinted = SqlExpression::parse("a > 5 AND b = 'yangguo'").unwrap();
    assert_eq!([&ten, &one].map(|properties| misprinted.matches(properties)), [false, false]);
}

#[test]
fn all_truth_combinations() {
    let value = |truth: Option<bool>| match truth {
        Some(true) => "TRUE",
        Some(false) => "FALSE",
        None => "NULL",
    };
    let all = [Some(true), Some(false), None];
    let evaluate = |text: String| SqlExpression::parse(&text).unwrap().evaluate(&Properties::new()).unwrap();
    for left in all {
        assert_eq!(evaluate(format!("NOT {}", value(left))), left.map(|left| !left));
        for right in all {
            let and = match (left, right) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (left, right) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            let (left, right) = (value(left), value(right));
            assert_eq!(evaluate(format!("{left} AND {right}")), and, "{left} AND {right}");
            assert_eq!(evaluate(format!("{left} OR {right}")), or, "{left} OR {right}");
        }
    }
}

#[test]
fn errors_say_where_and_why() {
    for (expression, column, reason) in [
        ("a > 5 AND", 10, "a property, a literal or `(` is expected, found the end"),
        ("a = \"x\"", 5, "strings stand in single quotes"),
        ("a = 'x", 5, "the string is not ended"),
        ("a != 5", 3, "`<>`"),
        ("é", 1, "letters of ASCII"),
        ("(a = 1", 7, "`)` or an operator is expected, found the end"),
        ("a = NULL", 5, "IS NULL"),
        ("a > 'x'", 5, "the string 'x' has no order"),
        ("a = 1 AND b BETWEEN 5 AND 1", 21, "the lower bound of BETWEEN, the number 5, is above"),
        ("a IN (1)", 7, "a string in single quotes is expected, found `1`"),
        ("'x' IN ('x')", 5, "on the left of IN stands a property, but the string 'x' is none"),
        ("'ü' = x AND 5", 13, "each side of AND has to be true or false, but the number 5 is neither"),
        ("5", 1, "the whole expression has to be true or false"),
        ("a = 9223372036854775808", 5, "larger than 9223372036854775807"),
        ("a = 0.0", 5, "write 0 for zero"),
        ("a NOT 5", 7, "behind NOT"),
        ("", 1, "found the end"),
    ] {
        let error = SqlExpression::parse(expression).unwrap_err();
        assert_eq!(error.column(), column, "{expression}: {error}");
        assert!(error.reason().contains(reason), "{expression}: {error}");
        let general = Error::from(error).to_string();
        assert!(general.contains(&format!("column {column}: ")), "{general}");
    }
    let text: Properties = [("a", "abc")].into_iter().collect();
    let error = SqlExpression::parse("a > 5").unwrap().evaluate(&text).unwrap_err().to_string();
    assert!(error.contains("\"abc\" is not a 32-bit integer"), "{error}");
}

#[test]
fn what_is_ignored_is_told() {
    let ignored = |text: &str| SqlExpression::parse(text).unwrap().ignored().map(str::to_owned);
    assert_eq!(ignored("a = 1"), None);
    assert_eq!(ignored("a = 1 -- comment\n "), None);
    assert_eq!(ignored("a LIKE 'x%'").as_deref(), Some("LIKE 'x%'"));
    assert_eq!(ignored("a = 1) OR b = 2").as_deref(), Some(") OR b = 2"));
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(SqlExpression::parse(&nested(MAX_NESTING)).is_ok());
    for text in [
        nested(MAX_NESTING + 1),
        nested(10_000),
        "(".repeat(10_000),
        "NOT ".repeat(10_000) + "a",
        "-".repeat(10_000) + "1",
        "+(".repeat(10_000),
        "a = ".repeat(10_000) + "1",
        "a".to_owned() + &" IS NULL".repeat(5_000),
        "a".to_owned() + &" CONTAINS 'x'".repeat(4_000),
        "NOT ".repeat(MAX_NESTING) + "a",
        "a".repeat(MAX_LENGTH + 1),
        vec!["a"; MAX_OPERANDS + 1].join(" OR "),
    ] {
        let error = SqlExpression::parse(&text).unwrap_err();
        assert!(error.reason().contains("more than ") || error.reason().contains("allowed are"), "{error}");
    }
    let alternating = |depth: usize| {
        let open: String =
            (0..depth).map(|n| if n % 2 == 0 { "a = 1 AND (" } else { "a = 2 OR (" }).collect();
        format!("{open}a = 1{}", ")".repeat(depth))
    };
    assert!(SqlExpression::parse(&alternating(MAX_DEPTH / 2)).is_ok());
    assert!(SqlExpression::parse(&alternating(MAX_NESTING)).is_err());
    // Chains are not nested, whatever parentheses stand on their left.
    let long = vec!["a = 'no'"; 1_900].join(" OR ") + " OR a = 'yes'";
    let left = "(".repeat(900) + "a = 'no'" + &" OR a = 'no')".repeat(900) + " OR a = 'yes'";
    let yes: Properties = [("a", "yes")].into_iter().collect();
    for text in [long, left] {
        assert!(SqlExpression::parse(&text).unwrap().matches(&yes));
    }
    let id_list: Vec<_> = (0..6_000).map(|id| format!("'{id}'")).collect();
    assert!(SqlExpression::parse(&format!("a IN ({})", id_list.join(","))).is_ok());
    // Each level of the comparison doubles nothing.
    let between = (0..60).fold("a".to_owned(), |inner, _| format!("-({inner} BETWEEN 1 AND 2)"));
    assert_eq!(result(&format!("{between} IS NULL"), &yes), "eval");
}

#[test]
fn the_last_of_equal_names_counts_in_records() {
    let expression = SqlExpression::parse("a = 'two' AND bc IS NULL").unwrap();
    assert!(expression.matches_encoded(b"a\x01one\x02b\x01x\x02a\x01two\x02a\x01\x02a\x01\xff\x02junk\x02"));
    assert!(!expression.matches_encoded(b"a\x01two\x02a\x01one"));
    assert!(!expression.matches_encoded(b"a\x01two\x02bc\x01x"));
    let many: Vec<_> = (0..FEW_NAMES + 1).map(|n| format!("p{n} = 'v'")).collect();
    let expression = SqlExpression::parse(&many.join(" AND ")).unwrap();
    let encoded = many.join("\x02").replace(" = '", "\x01").replace('\'', "");
    assert!(expression.matches_encoded(encoded.as_bytes()));
    assert!(!expression.matches_encoded(&encoded.as_bytes()[1..]));
}

/// Texts that are often close to expressions.
fn near_expressions() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(vec![
            "a", "b", "TAGS", "1", "5", "2147483648", "1.5", "'x'", "'5'", "''", "TRUE", "false", "NULL", "(", ")",
            "NOT", "AND", "OR", "=", "<>", ">", ">=", "<", "<=", "+", "-", "BETWEEN 1 AND", "between", "IN ('x','5')",
            "IN", "(", ",", "IS NULL", "IS NOT NULL", "IS", "CONTAINS 'x'", "NOT STARTSWITH 'x'", "ENDSWITH", "/*",
            "*/", "--", "\n", "'", ".", "%",
        ]).prop_map(str::to_owned),
        1 => ".{0,3}",
    ];
    (prop::collection::vec(part, 0..24), prop::bool::ANY)
        .prop_map(|(parts, spaced)| parts.join(if spaced { " " } else { "" }))
}

/// Expressions that compile.
fn conditions() -> impl Strategy<Value = String> {
    let property = || prop::sample::select(vec!["a", "b", "c", "TAGS"]);
    let number = || prop::sample::select(vec!["1", "5", "-1", "2147483648", "5.0", "+6"]);
    let value = || prop_oneof![property(), number()];
    let string = || prop::sample::select(vec!["'x'", "'5'", "''", "'true'", "'it''s'"]);
    let order = prop::sample::select(vec![">", ">=", "<", "<="]);
    let equal = || prop::sample::select(vec!["=", "<>"]);
    let find = prop::sample::select(vec!["CONTAINS", "NOT STARTSWITH", "endswith"]);
    let not = || prop::sample::select(vec!["", "NOT "]);
    let leaf = prop_oneof![
        (value(), order, value()).prop_map(|(left, order, right)| format!("{left} {order} {right}")),
        (property(), equal(), prop_oneof![value(), string(), Just("TRUE")])
            .prop_map(|(left, equal, right)| format!("{left} {equal} {right}")),
        (value(), not(), property(), number())
            .prop_map(|(value, not, low, high)| format!("{value} {not}BETWEEN {low} AND {high}")),
        (property(), not(), string(), string())
            .prop_map(|(name, not, one, two)| format!("{name} {not}IN ({one}, {two})")),
        (value(), find, string()).prop_map(|(value, find, text)| format!("{value} {find} {text}")),
        (value(), not()).prop_map(|(value, not)| format!("{value} IS {not}NULL")),
        prop::sample::select(vec!["TRUE", "FALSE", "NULL", "a", "b"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" AND "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.clone().prop_map(|inner| format!("NOT ({inner})")),
            (inner.clone(), not()).prop_map(|(inner, not)| format!("({inner}) IS {not}NULL")),
        ]
    })
}

fn some_properties() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value =
        prop::sample::select(vec!["1", "5", "x", "true", "5.0", " 6", "2147483648", "-1", "NaN", "1e3"]);
    prop::collection::btree_map("[abc]|TAGS", value.prop_map(str::to_owned), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("FERROMQ_SOAK").is_some() { 100_000 } else { 400 }))]

    /// Whatever comes in: no panic, the position lies within the text, and all three ways to ask agree.
    #[test]
    fn any_text_compiles_or_says_why(text in near_expressions(), given in some_properties()) {
        let properties: Properties = given.into_iter().collect();
        match SqlExpression::parse(&text) {
            Ok(expression) => {
                let result = expression.evaluate(&properties);
                let matches = matches!(result, Ok(Some(true)));
                prop_assert_eq!(expression.matches(&properties), matches);
                prop_assert_eq!(expression.matches_encoded(&properties.encode()), matches);
            }
            Err(error) => prop_assert!(text.is_char_boundary(error.position()), "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_properties(bytes: Vec<u8>, text in near_expressions()) {
        if let Ok(expression) = SqlExpression::parse(&text) {
            prop_assert_eq!(expression.matches_encoded(&bytes), expression.matches(&Properties::parse(&bytes)));
        }
    }

    /// De Morgan holds in the logic of three values, too.
    #[test]
    fn negation_swaps_and_with_or(left in conditions(), right in conditions(), given in some_properties()) {
        let properties: Properties = given.into_iter().collect();
        let one = result(&format!("NOT (({left}) AND ({right}))"), &properties);
        let other = result(&format!("(NOT ({left})) OR (NOT ({right}))"), &properties);
        prop_assert!(one != "compile");
        prop_assert_eq!(one, other);
    }

    /// Parentheses around a condition change nothing, and all of it is read.
    #[test]
    fn conditions_are_read_whole(condition in conditions(), given in some_properties()) {
        let properties: Properties = given.into_iter().collect();
        let compiled = SqlExpression::parse(&condition);
        prop_assert!(compiled.as_ref().is_ok_and(|compiled| compiled.ignored().is_none()), "{:?}", compiled);
        prop_assert_eq!(result(&condition, &properties), result(&format!("(({condition}))"), &properties));
    }
}
