//! Namespaces: several tenants with the same names on one cluster (protocol reference, section 13). A name travels as
//! `namespace%name`; the prefixes of retry and dead-letter topics stay in front. What belongs to the system has no
//! namespace.

use std::borrow::Cow;

const RETRY: &str = "%RETRY%";
const DEAD_LETTERS: &str = "%DLQ%";

/// Topics that every broker has; so are all that begin with `rmq_sys_`.
const SYSTEM_TOPICS: [&str; 9] = [
    "BenchmarkTest",
    "OFFSET_MOVED_EVENT",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "SCHEDULE_TOPIC_XXXX",
    "SELF_TEST_TOPIC",
    "TBW102",
    "TRANS_CHECK_MAX_TIME_TOPIC",
];

/// The namespace of a client, if it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[doc(alias = "NamespaceUtil")]
pub(super) struct Namespace(Option<String>);

impl Namespace {
    pub fn new(name: Option<&str>) -> Namespace {
        Namespace(name.filter(|name| !name.is_empty()).map(String::from))
    }

    /// The name itself, for the property INSTANCE_ID.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// A topic or group as it is called on the wire. What is in the namespace already stays as it is.
    pub fn wrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match &self.0 {
            Some(namespace) if !name.is_empty() && !is_of_system(name) && !self.holds(name) => {
                let (prefix, rest) = split(name);
                format!("{prefix}{namespace}%{rest}").into()
            }
            _ => name.into(),
        }
    }

    /// The topic or group as the user calls it. What is not in the namespace stays as it is.
    pub fn unwrap<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let (prefix, rest) = split(name);
        match rest.split_once('%') {
            Some((_, own)) if self.holds(name) && prefix.is_empty() => own.into(),
            Some((_, own)) if self.holds(name) => format!("{prefix}{own}").into(),
            _ => name.into(),
        }
    }

    fn holds(&self, name: &str) -> bool {
        let rest = split(name).1;
        let own = self.0.as_deref().and_then(|namespace| rest.strip_prefix(namespace));
        own.is_some_and(|own| own.starts_with('%')) && !is_of_system(name)
    }
}

fn split(name: &str) -> (&str, &str) {
    let prefix = [RETRY, DEAD_LETTERS].into_iter().find(|prefix| name.starts_with(prefix)).unwrap_or("");
    name.split_at(prefix.len())
}

fn is_of_system(name: &str) -> bool {
    SYSTEM_TOPICS.contains(&name) || name.starts_with("rmq_sys_") || name.starts_with("CID_RMQ_SYS_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespace, name, name wrapped, name unwrapped, as NamespaceUtil of rocketmq-remoting 5.3.3 answers.
    #[test]
    fn names_are_wrapped_and_unwrapped_as_by_apache() {
        let mut checked = 0;
        for line in include_str!("../../tests/fixtures/client/namespace.tsv").lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let namespace = Namespace::new(Some(fields[0]));
            assert_eq!(namespace.wrap(fields[1]), fields[2], "{line}");
            assert_eq!(namespace.unwrap(fields[1]), fields[3], "{line}");
            checked += 1;
        }
        assert!(checked > 100, "{checked}");
    }

    #[test]
    fn what_is_wrapped_is_unwrapped_again() {
        let namespace = Namespace::new(Some("NS"));
        for name in ["T", "%RETRY%g", "%DLQ%g", "a%b", "TBW102"] {
            assert_eq!(namespace.unwrap(&namespace.wrap(name)), name);
            assert_eq!(namespace.wrap(&namespace.wrap(name)), namespace.wrap(name));
        }
    }
}
