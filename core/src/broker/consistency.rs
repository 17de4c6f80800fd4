//! Whether the members of a group agree on what they consume. Those that do not take each other's queues and skip each
//! other's messages, so it is told: in the log, in the table of figures (28), and with the group's connections (203).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::wire::body::ConsumerData;

/// What one member says about how and what it consumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Stance {
    pub message_model: String,
    pub consume_type: String,
    /// Type and text of the expression by topic.
    subscriptions: BTreeMap<String, (String, String)>,
}

impl Stance {
    /// As a heartbeat says it.
    pub fn of(data: &ConsumerData) -> Self {
        let one = |subscription: &crate::wire::body::SubscriptionData| {
            let expression = (subscription.expression_type.clone(), subscription.sub_string.clone());
            (subscription.topic.clone(), expression)
        };
        Stance {
            message_model: data.message_model.clone(),
            consume_type: data.consume_type.clone(),
            subscriptions: data.subscription_data_set.iter().map(one).collect(),
        }
    }

    /// The first thing in which two members differ, in words.
    pub fn difference(&self, other: &Stance) -> Option<String> {
        for (what, one, two) in [
            ("message models", &self.message_model, &other.message_model),
            ("ways to consume", &self.consume_type, &other.consume_type),
        ] {
            if one != two {
                return Some(format!("different {what}, {one} and {two}"));
            }
        }
        let topics = self.subscriptions.keys().chain(other.subscriptions.keys());
        for topic in topics {
            match (self.subscriptions.get(topic), other.subscriptions.get(topic)) {
                (Some(one), Some(two)) if one == two => {}
                (Some(one), Some(two)) => {
                    let (one, two) = (shown(one), shown(two));
                    return Some(format!("different expressions for topic {topic}, {one} and {two}"));
                }
                _ => return Some(format!("topic {topic} is subscribed to by one of them only")),
            }
        }
        None
    }
}

/// The stances of a group's members, each kept once: members that agree share one, however many they are.
#[derive(Default)]
pub(super) struct Stances(HashMap<Arc<Stance>, usize>);

impl Stances {
    /// One member more has this stance.
    pub fn enter(&mut self, stance: Stance) -> Arc<Stance> {
        let known = self.0.get_key_value(&stance).map(|(known, _)| known.clone());
        let shared = known.unwrap_or_else(|| Arc::new(stance));
        *self.0.entry(shared.clone()).or_default() += 1;
        shared
    }

    /// A member with this stance has left, or has another one now.
    pub fn leave(&mut self, stance: &Arc<Stance>) {
        let Some(members) = self.0.get_mut(stance) else { return };
        *members -= 1;
        if *members == 0 {
            self.0.remove(stance);
        }
    }

    /// Whether all members agree.
    pub fn agree(&self) -> bool {
        self.0.len() < 2
    }
}

/// An expression can be as long as a heartbeat; what is told of it is not.
fn shown((expression_type, expression): &(String, String)) -> String {
    let start: String = expression.chars().take(100).collect();
    format!("{expression_type} {start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::body::SubscriptionData;

    fn stance(topics: &[(&str, &str)]) -> Stance {
        let subscription = |&(topic, expression): &(&str, &str)| SubscriptionData {
            topic: topic.into(),
            sub_string: expression.into(),
            ..SubscriptionData::default()
        };
        let subscription_data_set = topics.iter().map(subscription).collect();
        Stance::of(&ConsumerData { subscription_data_set, ..ConsumerData::default() })
    }

    #[test]
    fn a_difference_is_told_with_both_sides() {
        let one = stance(&[("A", "*"), ("B", "x")]);
        assert_eq!(one.difference(&stance(&[("B", "x"), ("A", "*")])), None);
        let told = one.difference(&stance(&[("A", "*"), ("B", "y")])).unwrap();
        assert_eq!(told, r#"different expressions for topic B, TAG "x" and TAG "y""#);
        for other in [stance(&[("A", "*")]), stance(&[("A", "*"), ("B", "x"), ("C", "*")])] {
            assert!(one.difference(&other).unwrap().contains("one of them only"));
            assert!(other.difference(&one).is_some());
        }
        let mut stances = Stances::default();
        let [shared, again] = [one.clone(), one.clone()].map(|stance| stances.enter(stance));
        assert!(Arc::ptr_eq(&shared, &again) && stances.agree());
        let odd = stances.enter(stance(&[("A", "*")]));
        assert!(!stances.agree());
        stances.leave(&shared);
        assert!(!stances.agree());
        stances.leave(&odd);
        assert!(stances.agree() && stances.0.len() == 1);
        stances.leave(&again);
        assert!(stances.0.is_empty());
        let broadcasting = Stance { message_model: "BROADCASTING".into(), ..one.clone() };
        assert!(one.difference(&broadcasting).unwrap().contains("CLUSTERING and BROADCASTING"));
    }
}
