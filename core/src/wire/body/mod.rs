//! The bodies in JSON, one struct each. Names are Apache's in snake case; unknown members are passed over, absent ones
//! and nulls have defaults (protocol reference, sections 2.1 to 2.5).

mod backup;
mod connection;
mod group;
mod heartbeat;
mod lenient;
mod list;
mod lock;
mod offsets;
mod queue;
mod registration;
mod route;
mod running;
mod stats;
mod topic;

pub use backup::BackupMade;
pub use connection::*;
pub use group::*;
pub use heartbeat::*;
pub use list::*;
pub use lock::*;
pub use offsets::*;
pub use queue::*;
pub use registration::*;
pub use route::*;
pub use running::*;
pub use stats::*;
pub use topic::*;
