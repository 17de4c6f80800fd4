//! Names of groups, of producers and of consumers.

use crate::{Error, ErrorKind, Result};

/// Longest name, in bytes.
const MAX_GROUP: usize = 255;

/// Refuses a name that brokers do not take: they would not know its members, and say so nowhere.
pub(super) fn check_group(operation: &'static str, group: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"%|_-".contains(&byte);
    let what = match group.len() {
        0 => "the group's name is empty".to_string(),
        length if length > MAX_GROUP => {
            format!("the group's name has {length} bytes, the limit is {MAX_GROUP}")
        }
        _ if !group.bytes().all(allowed) => {
            format!("group {group:?} has other characters than letters, digits and % | _ -")
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidArgument, operation, what))
}
