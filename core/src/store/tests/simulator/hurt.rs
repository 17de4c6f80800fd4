//! Damage to the files of a store that has crashed.

use std::path::PathBuf;

use super::*;
use crate::store::segment::file_name;

impl World {
    /// Damages the number or the body of a message that would have survived, or files from which it would be read
    /// quickly, some of them together.
    pub(super) fn hurt(&mut self) {
        self.done.hurts += 1;
        let kinds = 1 + self.random.below(15);
        if kinds & 1 != 0 {
            self.checkpoint_gone = self.memory.remove_file(Path::new("/store/checkpoint")).is_ok();
        }
        if kinds & 2 != 0 {
            self.remove_queue_file();
        }
        if kinds & 4 != 0 {
            let number =
                [1, 1 + self.random.below(12), self.random.below(200)][self.random.below(3) as usize];
            self.hurt_message(20, &number.to_be_bytes());
        } else if kinds & 8 != 0 {
            self.hurt_message(8, &[0xA5; 4]);
        }
    }

    fn remove_queue_file(&mut self) {
        let top = PathBuf::from("/store/consumequeue");
        let below = |dir: &PathBuf| {
            let entries = self.memory.list(dir).unwrap_or_default();
            entries.into_iter().map(|entry| dir.join(entry.name)).collect::<Vec<_>>()
        };
        let files: Vec<PathBuf> =
            below(&top).iter().flat_map(below).collect::<Vec<_>>().iter().flat_map(below).collect();
        if !files.is_empty() {
            let gone = &files[self.random.below(files.len() as u64) as usize];
            self.memory.remove_file(gone).unwrap();
            self.say(|_| format!("removed {}", gone.display()));
        }
    }

    /// Overwrites bytes of a message's record.
    fn hurt_message(&mut self, at: u64, bytes: &[u8]) {
        if self.model.promised.is_empty() {
            return;
        }
        let nth = self.random.below(self.model.promised.len() as u64) as usize;
        let (queue, offset, message) = self.model.promised[nth];
        let size = 32 << 10;
        let base = message.physical / size * size;
        let path = format!("/store/commitlog/{}", file_name(base));
        let file = self.memory.open(Path::new(&path), Open::Existing).unwrap();
        file.write_at((message.physical - base) as u64 + at, bytes).unwrap();
        self.model.hurt(message.serial);
        self.say(|_| format!("hurt {:?} at {offset}: {message:?}, {at}: {bytes:?}", QUEUES[queue]));
    }
}
