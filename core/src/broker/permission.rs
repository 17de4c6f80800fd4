//! Permission bits of topics and brokers: 4 read, 2 write, 1 inherit. Apache's name: PermName.

/// Messages may be read.
pub const READ: i32 = 4;
/// Messages may be written.
pub const WRITE: i32 = 2;
/// Topics made from this one take its permissions.
pub const INHERIT: i32 = 1;

/// Whether reading is allowed.
pub fn readable(perm: i32) -> bool {
    perm & READ != 0
}

/// Whether writing is allowed.
pub fn writable(perm: i32) -> bool {
    perm & WRITE != 0
}

/// Whether new topics may be made from this one.
pub fn inheritable(perm: i32) -> bool {
    perm & INHERIT != 0
}

/// A permission as Apache prints it, for example `RW-`.
pub fn text(perm: i32) -> String {
    let mark = |bit: i32, mark: char| if perm & bit != 0 { mark } else { '-' };
    [mark(READ, 'R'), mark(WRITE, 'W'), mark(INHERIT, 'X')].iter().collect()
}
