//! fastjson writes an object that it has written before as a reference: `{"$ref":"$.statsDay"}`.
//!
//! Paths: `$` the whole, `$.name`, `$.name[0].name`; `@` the object itself and `..` its parent, which only circular
//! data has, are not followed.

use serde_json::Value;

use super::JsonError;

/// Values that references may add up to: they can repeat what repeats already.
const MAX_VALUES: usize = 1_000_000;

/// Whether there could be references in these bytes.
pub(super) fn may_be_in(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|window| window == b"\"$ref" || window == b"'$ref")
}

/// Replaces every reference by a copy of what it refers to.
pub(super) fn resolve(root: &mut Value) -> Result<(), JsonError> {
    let mut paths = Vec::new();
    collect(root, &mut Vec::new(), &mut paths);
    let mut budget = MAX_VALUES;
    // In the order of the text: what is referred to stands before, so the references in it are resolved already.
    for (place, target) in paths {
        let value = parse(&target).and_then(|steps| walk(root, &steps)).map(|value| &*value);
        let value = value.ok_or_else(|| JsonError::new(format_args!("$ref {target:?} leads nowhere")))?;
        budget = count(value, budget).ok_or_else(|| JsonError::new("references to over 1000000 values"))?;
        let value = value.clone();
        if let Some(reference) = walk(root, &place) {
            *reference = value;
        }
    }
    Ok(())
}

#[derive(Clone)]
enum Step {
    Name(String),
    Index(usize),
}

fn target_of(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get("$ref")?.as_str()
}

/// All references: where they stand, and what they refer to.
fn collect(value: &Value, here: &mut Vec<Step>, paths: &mut Vec<(Vec<Step>, String)>) {
    if let Some(target) = target_of(value) {
        return paths.push((here.clone(), target.to_owned()));
    }
    let mut descend = |step, value| {
        here.push(step);
        collect(value, here, paths);
        here.pop();
    };
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| descend(Step::Name(name.clone()), value));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| descend(Step::Index(at), value));
        }
        _ => {}
    }
}

/// `$.name[0]` in steps.
fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$')?;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, behind) = index.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = behind;
        } else {
            let name = rest.strip_prefix('.')?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            steps.push(Step::Name(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    Some(steps)
}

fn walk<'v>(root: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Name(name) => value.get_mut(name),
        Step::Index(at) => value.get_mut(*at),
    })
}

/// What is left of `budget` after all values in `value`.
fn count(value: &Value, budget: usize) -> Option<usize> {
    let budget = budget.checked_sub(1)?;
    match value {
        Value::Object(object) => object.values().try_fold(budget, |budget, value| count(value, budget)),
        Value::Array(list) => list.iter().try_fold(budget, |budget, value| count(value, budget)),
        _ => Some(budget),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<Value, JsonError> {
        super::super::from_slice(text.as_bytes())
    }

    #[test]
    fn references_are_replaced_by_what_they_refer_to() {
        let value =
            resolved(r#"{"a":{"x":[1,{"y":2}]},"b":{"$ref":"$.a"},"c":[{"$ref":"$.a.x[1]"}]}"#).unwrap();
        assert_eq!(value["b"], value["a"]);
        assert_eq!(value["c"][0]["y"], 2);
    }

    #[test]
    fn what_leads_nowhere_or_explodes_is_refused() {
        assert!(resolved(r#"{"a":{"$ref":"$.b"}}"#)
            .unwrap_err()
            .to_string()
            .contains("\"$.b\" leads nowhere"));
        assert!(resolved(r#"[{"$ref":".."}]"#).unwrap_err().to_string().contains("leads nowhere"));
        let ten = |of: &str| vec![format!(r#"{{"$ref":"$.{of}"}}"#); 10].join(",");
        let levels: Vec<_> = ('b'..='z')
            .map(|c| format!(r#""{c}":[{}]"#, ten(&char::from(c as u8 - 1).to_string())))
            .collect();
        let laughs = format!(r#"{{"a":[1],{}}}"#, levels.join(","));
        assert!(resolved(&laughs).unwrap_err().to_string().contains("over 1000000"));
    }
}
