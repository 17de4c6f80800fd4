//! Names that many messages have in common.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The name of a topic or a broker: a text that does not change. A copy shares the memory of the first, as those of the
/// messages do that come together.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&*self.0, f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Name {
        Name(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Name {
        Name(text.into())
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().to_owned()
    }
}

macro_rules! compared {
    ($($other:ty),*) => {$(
        impl PartialEq<$other> for Name {
            fn eq(&self, other: &$other) -> bool {
                self.as_str() == AsRef::<str>::as_ref(other)
            }
        }

        impl PartialEq<Name> for $other {
            fn eq(&self, other: &Name) -> bool {
                other == self
            }
        }
    )*};
}

compared!(str, &str, String);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_is_the_text() {
        let name = Name::from("Orders");
        assert_eq!(name, "Orders");
        assert_eq!("Orders", name);
        assert_eq!(name, String::from("Orders"));
        assert_ne!(name, *"Order");
        assert_eq!((format!("{name:>7}"), format!("{name:?}")), (" Orders".into(), "\"Orders\"".into()));
        assert_eq!(String::from(name.clone()), "Orders");
        let copy = name.clone();
        assert_eq!(copy.as_ptr(), name.as_ptr(), "one text");
        assert_eq!(BTreeMap::from([(copy, 1)]).get("Orders"), Some(&1));
        assert_eq!(Name::default(), "");
    }
}
