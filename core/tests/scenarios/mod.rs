//! What a RocketMQ client does, shown the same way wherever it runs: in process, over TCP to our server, over TCP to
//! Apache's. The library's own tests run the list the first two ways, the interop tests the third.
//!
//! A scenario takes a [`Stage`]: a cluster, names of its own in it, and what the cluster can do. What it cannot do must be
//! refused in words; so the scenario fails, and wants to be completed, the day that it can.

pub mod consume;
pub mod flow;
pub mod group;
pub mod pull;
pub mod retry;
pub mod send;
pub mod special;
mod world;

pub use world::{quick, Stage, Supports, World};

/// One scenario: what it is called, and what it does. It panics where something is not as it should be.
#[allow(dead_code, reason = "as below")]
pub type Scenario = (&'static str, fn(&Stage));

/// Calls the macro `$with` with the list of all scenarios, `module::function` each.
macro_rules! all_scenarios {
    ($with:ident) => {
        $with! {
            send::sync,
            send::future,
            send::callback,
            send::oneway,
            send::batch,
            send::split,
            send::selectors,
            send::sharding_key,
            send::fields,
            send::compression,
            send::big,
            send::refused,
            send::ids_and_keys,
            consume::concurrent,
            consume::orderly,
            consume::one_by_one,
            consume::in_batches,
            consume::tags,
            consume::sql,
            consume::from_first,
            consume::from_last,
            consume::from_timestamp,
            consume::broadcasting,
            retry::later,
            retry::panic,
            retry::dead_letter,
            retry::dead_at_once,
            retry::orderly_dead_letter,
            retry::broadcasting_has_none,
            pull::subscribe_and_commit,
            pull::assign_and_seek,
            pull::pause,
            pull::by_time,
            pull::single,
            group::members_share,
            group::groups_get_all,
            group::comes_back,
            flow::suspend,
            flow::slow,
            flow::close_in_listener,
            flow::close_twice,
            flow::restart,
            flow::restart_in_order,
            special::delay_levels,
            special::transactions,
            special::request_reply,
            special::trace,
            special::namespace,
        }
    };
}
#[allow(
    unused_imports,
    reason = "one of the two test programs runs the list, the other one makes a test of each"
)]
pub(crate) use all_scenarios;

macro_rules! as_list {
    ($($module:ident :: $name:ident,)*) => {
        /// All scenarios.
        #[allow(dead_code, reason = "as above")]
        pub const ALL: &[Scenario] = &[$((concat!(stringify!($module), "-", stringify!($name)), $module::$name),)*];
    };
}
all_scenarios!(as_list);
