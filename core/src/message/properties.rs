//! Properties to be changed and encoded again.

use std::fmt;
use std::sync::OnceLock;

use super::{check_property, places, properties, Place, NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR};

/// The properties of a message by name, to be changed and encoded again.
///
/// All names and values are one text, as on the wire: a message that is read has a handful of them, and to make each a
/// piece of memory of its own was most of what reading it cost.
#[derive(Clone, Default)]
pub struct Properties {
    /// An encoded property string until there are places; then names and values with a separator between them, and what
    /// no place is in is left over from changes.
    text: String,
    /// Ordered by name, each once. Most messages are read without anybody asking for all that they have.
    places: OnceLock<Vec<Place>>,
}

/// Left-over text that is not worth tidying up.
const LITTLE: usize = 256;

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an encoded property string as [`properties()`] does; of several with one name the last one counts.
    pub fn parse(encoded: &[u8]) -> Self {
        match std::str::from_utf8(encoded) {
            Ok(text) => Properties { text: text.into(), places: OnceLock::new() },
            Err(_) => properties(encoded).collect(),
        }
    }

    fn places(&self) -> &[Place] {
        self.places.get_or_init(|| in_order(&self.text, places(self.text.as_bytes()).collect()))
    }

    /// The text and its places, to be changed together.
    fn parts(&mut self) -> (&mut String, &mut Vec<Place>) {
        self.places();
        (&mut self.text, self.places.get_mut().expect("the places that were just looked for"))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.places().binary_search_by(|place| self.text[place.name()].cmp(name))
    }

    /// Lets go what changes have left over, once it is more than what counts.
    fn tidy(&mut self) {
        let used: usize = self.places().iter().map(|place| place.end - place.begin).sum();
        if self.text.len() > 2 * used + LITTLE {
            *self = self.iter().collect();
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.places.get() {
            Some(places) => self.find(name).ok().map(|at| &self.text[places[at].value()]),
            None => {
                let named = |place: &Place| self.text[place.name()] == *name;
                places(self.text.as_bytes()).filter(named).last().map(|place| &self.text[place.value()])
            }
        }
    }

    /// Sets `name` to `value`. What comes from a user goes through [`check_property`] first.
    pub fn insert(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let name = name.as_ref();
        let at = self.find(name);
        let (text, places) = self.parts();
        let place = write(text, name, value.as_ref());
        match at {
            Ok(at) => {
                places[at] = place;
                self.tidy();
            }
            Err(at) => places.insert(at, place),
        }
    }

    /// Removes `name` and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.find(name).ok()?;
        let (text, places) = self.parts();
        let value = text[places.remove(at).value()].to_owned();
        self.tidy();
        Some(value)
    }

    /// Whether there is a property `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All pairs, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places().iter().map(|place| (&self.text[place.name()], &self.text[place.value()]))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places().is_empty()
    }

    /// The property string, every pair ended by its separator.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.iter().map(|(k, v)| k.len() + v.len() + 2).sum());
        self.encode_into(&mut out);
        out
    }

    /// Appends the property string to `out`. Pairs that no reader would see (an empty name or value, a separator
    /// inside) are left out, so that one value can never pass for another property.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter().filter(|(name, value)| check_property(name, value).is_ok()) {
            out.extend_from_slice(name.as_bytes());
            out.push(NAME_VALUE_SEPARATOR);
            out.extend_from_slice(value.as_bytes());
            out.push(PROPERTY_SEPARATOR);
        }
    }
}

impl PartialEq for Properties {
    fn eq(&self, other: &Properties) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Properties {}

impl fmt::Debug for Properties {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.iter()).finish()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let (mut text, mut places) = (String::new(), Vec::new());
        for (name, value) in pairs {
            places.push(write(&mut text, name.as_ref(), value.as_ref()));
        }
        let places = in_order(&text, places).into();
        Properties { text, places }
    }
}

/// Writes a pair behind the others.
fn write(text: &mut String, name: &str, value: &str) -> Place {
    let begin = text.len();
    text.reserve(name.len() + 1 + value.len());
    text.push_str(name);
    let middle = text.len();
    text.push(char::from(NAME_VALUE_SEPARATOR));
    text.push_str(value);
    Place { begin, middle, end: text.len() }
}

/// Places ordered by name; of several with one name the last one.
fn in_order(text: &str, mut places: Vec<Place>) -> Vec<Place> {
    places.sort_by(|one, other| text[one.name()].cmp(&text[other.name()]));
    places.dedup_by(|later, earlier| {
        let is_same = text[later.name()] == text[earlier.name()];
        if is_same {
            *earlier = *later;
        }
        is_same
    });
    places
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_changes_leave_over_does_not_grow() {
        let mut properties = Properties::new();
        for round in 0..10_000 {
            properties.insert("name", format!("value {round}"));
            properties.insert(format!("name {}", round % 3), "x");
            properties.remove("name 1");
        }
        assert_eq!(properties.get("name"), Some("value 9999"));
        assert!(properties.text.capacity() < 4096, "{}", properties.text.capacity());
    }

    /// Names and values of few letters, separators among them, so that names meet.
    fn text() -> impl Strategy<Value = String> {
        "[ab\u{e9}\x01\x02]{0,3}"
    }

    proptest! {
        #[test]
        fn it_does_as_a_map_does(
            changes in prop::collection::vec((text(), prop::option::of(text())), 0..40),
            encoded in prop::collection::vec(prop::sample::select(b"ab\x01\x02\xc3\xa9".to_vec()), 0..40),
        ) {
            let mut map: BTreeMap<String, String> =
                properties(&encoded).map(|(name, value)| (name.into(), value.into())).collect();
            let mut own = Properties::parse(&encoded);
            for (name, value) in &changes {
                prop_assert_eq!(own.get(name), map.get(name).map(String::as_str));
                prop_assert_eq!(own.contains(name), map.contains_key(name));
                match value {
                    Some(value) => {
                        own.insert(name, value);
                        map.insert(name.clone(), value.clone());
                    }
                    None => prop_assert_eq!(own.remove(name), map.remove(name)),
                }
                prop_assert!(own.iter().eq(map.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
            }
            prop_assert_eq!(own.is_empty(), map.is_empty());
            prop_assert_eq!(&own, &map.iter().collect::<Properties>());
            prop_assert_eq!(format!("{own:?}"), format!("{map:?}"));
        }
    }
}
