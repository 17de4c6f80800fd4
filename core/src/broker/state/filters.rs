//! The SQL92 filters of consumer groups, compiled once, in `config/consumerFilter.json`. Apache's names:
//! ConsumerFilterManager, ConsumerFilterData.
//!
//! Reference: sql92.md, "Where it applies"; store.md 6.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::BrokerConfig;
use crate::filter::{Bloom, BloomBits, SqlExpression, SyntaxError, MAX_LENGTH};
use crate::sync::{Mutex, RwLock};
use crate::wire::body::SubscriptionData;
use crate::wire::json;
use crate::Result;

use super::StateFile;

/// The type of expressions that are kept here.
pub(crate) const SQL92: &str = "SQL92";
/// Expressions that come with pulls and were compiled last; a pull may bring another one each time.
const MOST_CACHED: usize = 100;
/// What a group that was alive when the broker went is taken to have been dead for when it comes back.
const DEAD_AT_LOAD_MS: i64 = 30_000;

/// Whether brokers choose by the tag's hash, which is so unless the type names something else.
pub(crate) fn is_tag(expression_type: &str) -> bool {
    expression_type.is_empty() || expression_type == "TAG"
}

/// One group's filter of one topic, as it stands in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FilterData {
    #[serde(skip_serializing_if = "Option::is_none")]
    bloom_filter_data: Option<BloomBits>,
    /// When it was made, ms; a changed expression is a new filter.
    born_time: i64,
    /// When the client made the subscription, ms by its clock.
    client_version: i64,
    consumer_group: String,
    #[serde(skip_deserializing)]
    dead: bool,
    /// When the group's last member left; 0 while it has one.
    dead_time: i64,
    expression: String,
    expression_type: String,
    topic: String,
    /// None if it was loaded and does not compile.
    #[serde(skip)]
    compiled: Option<Arc<SqlExpression>>,
}

impl FilterData {
    fn is_dead(&self) -> bool {
        self.dead_time >= self.born_time
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OfTopic {
    group_filter_data: BTreeMap<String, FilterData>,
    topic: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Table {
    filter_data_by_topic: BTreeMap<String, OfTopic>,
}

/// What the broker has for a pull that names a group and a topic only.
pub(crate) struct Registered {
    /// When the client made the subscription, ms.
    pub client_version: i64,
    /// None if the expression was loaded and does not compile.
    pub expression: Option<Arc<SqlExpression>>,
}

type Compiled = Result<Arc<SqlExpression>, SyntaxError>;

/// Filters by topic and group. All methods from any thread.
pub(crate) struct Filters {
    table: RwLock<Table>,
    cache: Mutex<HashMap<Box<str>, Compiled>>,
    bloom: Bloom,
    changed: AtomicBool,
    file: Mutex<StateFile>,
}

impl Filters {
    /// Loads the table. Filters that were made for Bloom maps of another size are all left out, as in Apache: their
    /// groups bring them again.
    pub fn open(root: &Path, config: &BrokerConfig, now_ms: i64) -> Result<Self> {
        let file = StateFile::new(root, "consumerFilter.json");
        let bloom = Bloom::new(config.max_error_rate_of_bloom_filter, config.expect_consumer_num_use_filter);
        let mut table = file.load::<Table>()?.unwrap_or_default();
        let mut all =
            table.filter_data_by_topic.values_mut().flat_map(|of| of.group_filter_data.values_mut());
        let fits = all.all(|data| {
            match SqlExpression::parse(&data.expression) {
                Ok(compiled) => data.compiled = Some(Arc::new(compiled)),
                Err(error) => {
                    let (group, topic) = (&data.consumer_group, &data.topic);
                    tracing::error!(%group, %topic, %error, "a loaded SQL92 filter does not compile");
                }
            }
            if data.dead_time == 0 {
                data.dead_time = (now_ms - DEAD_AT_LOAD_MS).max(data.born_time);
            }
            data.bloom_filter_data.as_ref().is_some_and(|bits| bloom.made(bits))
        });
        if !fits {
            tracing::info!("the settings of the Bloom filter changed: consumerFilter.json is not used");
            table = Table::default();
        }
        Ok(Filters {
            table: RwLock::new(table),
            cache: Mutex::default(),
            bloom,
            changed: AtomicBool::new(false),
            file: Mutex::new(file),
        })
    }

    /// Takes over what a heartbeat says of a group's subscriptions. Filters of topics that it does not name are dead.
    pub fn register(&self, group: &str, subscriptions: &[SubscriptionData], now_ms: i64) {
        let has_sql = subscriptions.iter().any(|one| !is_tag(&one.expression_type));
        if !has_sql && !self.holds_alive(group) {
            return;
        }
        for subscription in subscriptions.iter().filter(|one| one.expression_type == SQL92) {
            self.register_one(group, subscription, now_ms);
        }
        let lives =
            |topic: &str| subscriptions.iter().any(|one| one.topic == topic && !is_tag(&one.expression_type));
        self.bury(group, now_ms, lives);
    }

    fn holds_alive(&self, group: &str) -> bool {
        let table = self.table.read();
        let mut data = table.filter_data_by_topic.values().filter_map(|of| of.group_filter_data.get(group));
        data.any(|data| !data.is_dead())
    }

    fn register_one(&self, group: &str, subscription: &SubscriptionData, now_ms: i64) {
        let (topic, expression) = (&subscription.topic, &subscription.sub_string);
        if self.is_settled(group, subscription) {
            return;
        }
        let compiled = self.compile(expression);
        self.changed.store(true, Ordering::Relaxed);
        let mut table = self.table.write();
        let of_topic = table.filter_data_by_topic.entry(topic.clone()).or_default();
        of_topic.topic.clone_from(topic);
        let known = of_topic.group_filter_data.get_mut(group);
        if let Some(known) = known.filter(|known| known.expression == *expression) {
            known.client_version = subscription.sub_version;
            known.dead_time = 0;
            return;
        }
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                // The client learns of it with its next pull.
                tracing::error!(%group, %topic, %expression, %error, "an SQL92 filter does not compile");
                of_topic.group_filter_data.remove(group);
                return;
            }
        };
        let data = FilterData {
            bloom_filter_data: Some(self.bloom.bits(&format!("{group}#{topic}"))),
            born_time: now_ms,
            client_version: subscription.sub_version,
            consumer_group: group.to_owned(),
            expression: expression.clone(),
            expression_type: SQL92.to_owned(),
            topic: topic.clone(),
            compiled: Some(compiled),
            ..FilterData::default()
        };
        of_topic.group_filter_data.insert(group.to_owned(), data);
    }

    /// Whether a heartbeat tells nothing new. Members of a group that differ are ordered by when they subscribed; whoever
    /// comes after all have left is right, whatever its clock says.
    fn is_settled(&self, group: &str, subscription: &SubscriptionData) -> bool {
        let table = self.table.read();
        let of_topic = table.filter_data_by_topic.get(&subscription.topic);
        let Some(known) = of_topic.and_then(|of| of.group_filter_data.get(group)) else { return false };
        if subscription.sub_version > known.client_version || known.is_dead() {
            return false;
        }
        if known.expression != subscription.sub_string {
            let (topic, ignored) = (&subscription.topic, &subscription.sub_string);
            tracing::warn!(%group, %topic, %ignored, "an SQL92 filter that is older than the known one");
        }
        true
    }

    /// The group's last member is gone.
    pub fn unregister(&self, group: &str, now_ms: i64) {
        self.bury(group, now_ms, |_| false);
    }

    fn bury(&self, group: &str, now_ms: i64, lives: impl Fn(&str) -> bool) {
        if !self.holds_alive(group) {
            return;
        }
        for (topic, of_topic) in &mut self.table.write().filter_data_by_topic {
            if let Some(data) = of_topic.group_filter_data.get_mut(group) {
                if !data.is_dead() && !lives(topic) {
                    data.dead_time = now_ms;
                    self.changed.store(true, Ordering::Relaxed);
                }
            }
        }
    }

    /// The filter that heartbeats registered.
    pub fn find(&self, group: &str, topic: &str) -> Option<Registered> {
        let table = self.table.read();
        let data = table.filter_data_by_topic.get(topic)?.group_filter_data.get(group)?;
        Some(Registered { client_version: data.client_version, expression: data.compiled.clone() })
    }

    /// Compiles an expression, or finds it among those that were compiled, or were found not to, lately.
    pub fn compile(&self, expression: &str) -> Compiled {
        if let Some(known) = self.cache.lock().get(expression) {
            return known.clone();
        }
        if expression.len() > MAX_LENGTH {
            // Not to be kept.
            return SqlExpression::parse(expression).map(Arc::new);
        }
        let compiled = SqlExpression::parse(expression).map(Arc::new);
        let mut cache = self.cache.lock();
        if cache.len() >= MOST_CACHED {
            cache.clear();
        }
        cache.insert(expression.into(), compiled.clone());
        compiled
    }

    /// Drops what is dead for longer than `keep_ms`, and saves the table if it changed since the last time.
    pub fn save(&self, keep_ms: i64, now_ms: i64) {
        {
            let mut table = self.table.write();
            let mut dropped = false;
            table.filter_data_by_topic.retain(|_, of_topic| {
                of_topic.group_filter_data.retain(|_, data| {
                    let keep = !data.is_dead() || now_ms - data.dead_time < keep_ms;
                    dropped |= !keep;
                    keep
                });
                !of_topic.group_filter_data.is_empty()
            });
            if dropped {
                self.changed.store(true, Ordering::Relaxed);
            }
        }
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let file = self.file.lock();
        let text = {
            let mut table = self.table.write();
            for data in
                table.filter_data_by_topic.values_mut().flat_map(|of| of.group_filter_data.values_mut())
            {
                data.dead = data.is_dead();
            }
            json::to_vec(&*table)
        };
        if file.save(&text).is_err() {
            self.changed.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(topic: &str, expression: &str, version: i64) -> SubscriptionData {
        SubscriptionData {
            topic: topic.into(),
            sub_string: expression.into(),
            sub_version: version,
            expression_type: SQL92.into(),
            ..SubscriptionData::default()
        }
    }

    fn open(root: &Path, now_ms: i64) -> Filters {
        Filters::open(root, &BrokerConfig::default(), now_ms).unwrap()
    }

    fn text_of(filters: &Filters, group: &str, topic: &str) -> Option<String> {
        Some(filters.find(group, topic)?.expression?.as_str().to_owned())
    }

    const DAY: i64 = 86_400_000;

    #[test]
    fn the_newest_subscription_counts() {
        let dir = tempfile::tempdir().unwrap();
        let filters = open(dir.path(), 1000);
        filters.register("G", &[subscription("T", "a > 1", 10)], 1000);
        filters.register("G", &[subscription("T", "a > 2", 9)], 1001);
        assert_eq!(text_of(&filters, "G", "T").as_deref(), Some("a > 1"));
        filters.register("G", &[subscription("T", "a > 2", 11)], 1002);
        assert_eq!(text_of(&filters, "G", "T").as_deref(), Some("a > 2"));
        assert_eq!(filters.find("G", "T").unwrap().client_version, 11);
        filters.register("G", &[subscription("T", "a > ", 12)], 1003);
        assert!(filters.find("G", "T").is_none(), "one that does not compile takes the old one's place");
        filters.register("G", &[subscription("T", "a > 3", 13)], 1004);
        filters.unregister("G", 1005);
        filters.register("G", &[subscription("T", "a > 4", 1)], 1006);
        assert_eq!(text_of(&filters, "G", "T").as_deref(), Some("a > 4"), "of clients whose clock is behind");
        filters.register("H", &[subscription("T", "a > ", 1)], 1003);
        assert!(filters.find("H", "T").is_none());
    }

    #[test]
    fn dead_filters_go_after_a_day_and_live_again_with_their_group() {
        let dir = tempfile::tempdir().unwrap();
        let filters = open(dir.path(), 1000);
        let both = [subscription("T", "a > 1", 10), subscription("U", "b > 1", 10)];
        filters.register("G", &both, 1000);
        filters.register("G", &both[..1], 2000);
        filters.save(DAY, 2000 + DAY - 1);
        assert!(filters.find("G", "U").is_some());
        filters.save(DAY, 2000 + DAY);
        assert!(filters.find("G", "U").is_none(), "its topic was left");
        let by_tag = SubscriptionData { expression_type: "TAG".into(), ..subscription("T", "*", 11) };
        filters.register("G", &[by_tag], 3000 + DAY);
        assert!(!filters.holds_alive("G"), "it filters by tags now");
        filters.register("G", &both[..1], 4000 + DAY);
        filters.save(DAY, 9 * DAY);
        assert!(filters.find("G", "T").is_some(), "it lives again");
        filters.unregister("G", 9 * DAY);
        filters.save(DAY, 11 * DAY);
        assert!(filters.find("G", "T").is_none());
    }

    #[test]
    fn the_file_is_that_of_apache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/consumerFilter.json");
        let filters = open(dir.path(), 1000);
        let of_ours = subscription("FxFilter", "a > 3 AND region = 'eu' OR opt = 'x'", 1_795_253_487_693);
        filters.register("Fx_cg_sql", &[of_ours], 1_795_253_486_712);
        filters.unregister("Fx_cg_sql", 1_795_253_511_313);
        filters.save(DAY, 1_795_253_511_400);
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        // Written by a broker 5.3.3.
        let theirs = include_bytes!("../../../tests/fixtures/filter/consumerFilter.json");
        assert_eq!(value(&std::fs::read(&path).unwrap()), value(theirs));

        std::fs::write(&path, theirs).unwrap();
        let again = open(dir.path(), 1_795_253_600_000);
        assert_eq!(again.find("Fx_cg_sql", "FxFilter").unwrap().client_version, 1_795_253_487_693);
        assert!(!again.holds_alive("Fx_cg_sql"));
        let mut other = BrokerConfig::default();
        other.set("expectConsumerNumUseFilter", "64").unwrap();
        assert!(Filters::open(dir.path(), &other, 0).unwrap().find("Fx_cg_sql", "FxFilter").is_none());
    }

    #[test]
    fn groups_are_dead_when_a_broker_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let filters = open(dir.path(), 1000);
        filters.register("G", &[subscription("T", "a > 1", 10)], 100_000);
        filters.save(DAY, 100_000);
        let again = open(dir.path(), 200_000);
        assert!(!again.holds_alive("G"));
        again.register("G", &[subscription("T", "a > 1", 10)], 200_001);
        assert!(again.holds_alive("G"));
    }

    #[test]
    fn compiled_expressions_are_kept_in_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let filters = open(dir.path(), 0);
        let first = filters.compile("a = 0").unwrap();
        assert!(Arc::ptr_eq(&first, &filters.compile("a = 0").unwrap()));
        for number in 0..1000 {
            filters.compile(&format!("a = {number}")).unwrap();
        }
        assert!(filters.cache.lock().len() <= MOST_CACHED);
    }
}
