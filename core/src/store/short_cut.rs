//! The queues of all topics in one table. Where there are many, each step to a queue has to wait for memory: this table
//! is one step, and it can be asked for in advance.

use std::sync::Arc;

use super::mapping::fetch_ahead;
use super::queue::Queue;

/// Places in the smallest table.
const FEWEST: usize = 64;

/// Queues by a hash of topic and id, of which a name is no part: whoever finds one looks whether it is the right one. Of
/// two with one hash one is here.
#[derive(Default)]
pub(crate) struct ShortCut {
    /// A power of two of places, or none at all. A queue stands in the first free one from where its hash points to.
    places: Vec<Option<(u64, Arc<Queue>)>>,
    count: usize,
}

impl ShortCut {
    /// The queue with a hash.
    pub fn get(&self, hash: u64) -> Option<&Arc<Queue>> {
        self.places[self.at(hash)?].as_ref().map(|(_, queue)| queue)
    }

    /// Puts a queue in, instead of the one that has this hash.
    pub fn insert(&mut self, hash: u64, queue: Arc<Queue>) {
        if let Some(at) = self.at(hash) {
            self.places[at] = Some((hash, queue));
            return;
        }
        // At most half full: few queues stand anywhere but where their hash points to.
        if 2 * (self.count + 1) > self.places.len() {
            let mut places = Vec::new();
            places.resize_with((2 * self.places.len()).max(FEWEST), || None);
            for place in std::mem::replace(&mut self.places, places).into_iter().flatten() {
                self.put(place.0, place.1);
            }
        }
        self.count += 1;
        self.put(hash, queue);
    }

    fn put(&mut self, hash: u64, queue: Arc<Queue>) {
        let mut at = self.home(hash);
        while self.places[at].is_some() {
            at = self.behind(at);
        }
        self.places[at] = Some((hash, queue));
    }

    /// Takes out the queue with a hash.
    pub fn remove(&mut self, hash: u64) -> Option<Arc<Queue>> {
        let mut free = self.at(hash)?;
        let removed = self.places[free].take();
        self.count -= 1;
        // Those behind it move up, so that nobody stands behind a free place in front of which it belongs.
        let mut at = self.behind(free);
        while let Some((hash, _)) = &self.places[at] {
            let distance = |from: usize| at.wrapping_sub(from) & (self.places.len() - 1);
            if distance(self.home(*hash)) >= distance(free) {
                self.places.swap(at, free);
                free = at;
            }
            at = self.behind(at);
        }
        removed.map(|(_, queue)| queue)
    }

    /// Begins to bring the place of a hash into the caches.
    pub fn fetch_ahead(&self, hash: u64) {
        if !self.places.is_empty() {
            fetch_ahead(self.places.as_ptr().wrapping_add(self.home(hash)) as usize);
        }
    }

    fn at(&self, hash: u64) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        while let Some((there, _)) = &self.places[at] {
            if *there == hash {
                return Some(at);
            }
            at = self.behind(at);
        }
        None
    }

    /// Where a hash points to; the table is not empty.
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.places.len() - 1)
    }

    fn behind(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::queue::Form;
    use crate::store::queues::Queues;
    use crate::store::storage::Memory;
    use crate::store::StoreOptions;

    proptest! {
        /// Hashes of few values, so that many point to one place, at the end of the table, too.
        #[test]
        fn it_holds_what_a_map_holds(
            steps in proptest::collection::vec((any::<bool>(), 0..3_u64, 0..200_u64), 1..400),
        ) {
            let mut options = StoreOptions::new("/s");
            options.storage = Arc::new(Memory::new());
            let queues = Queues::new(&options);
            let topic = queues.topic_or_new("T", Form::Plain);
            let (mut table, mut model) = (ShortCut::default(), HashMap::new());
            for (number, (insert, high, low)) in (0..).zip(steps) {
                let hash = high << 32 | ((low % 8) * 32).wrapping_sub(low % 3);
                if insert {
                    let queue = queues.queue_or_new(&topic, number);
                    table.insert(hash, queue.clone());
                    model.insert(hash, queue);
                } else {
                    let removed = table.remove(hash).map(|queue| queue.id);
                    prop_assert_eq!(removed, model.remove(&hash).map(|queue| queue.id));
                }
                table.fetch_ahead(hash);
                prop_assert_eq!(table.count, model.len());
                for (hash, queue) in &model {
                    prop_assert_eq!(table.get(*hash).map(|queue| queue.id), Some(queue.id));
                }
                prop_assert_eq!(table.places.iter().flatten().count(), model.len());
            }
        }
    }
}
