//! One entry of a consume queue, as it stands in the file.

use super::types::QueueEntry;

/// Bytes of a plain entry (store reference, section 3.1) and of a batch entry (3.3).
pub(crate) const ENTRY_LEN: usize = 20;
const BATCH_ENTRY_LEN: usize = 46;

/// How the entries of a queue look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// 20 bytes; the entry's number is the offset in the queue.
    Plain,
    /// 46 bytes, of 5.x topics with `queue.type=BatchCQ`; an entry may stand for several offsets.
    Batch,
}

impl Form {
    pub fn unit(self) -> usize {
        match self {
            Form::Plain => ENTRY_LEN,
            Form::Batch => BATCH_ENTRY_LEN,
        }
    }
}

/// An entry together with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub offset: i64,
    /// Offsets that the entry stands for; 1 but for inner batches.
    pub count: i64,
    pub entry: QueueEntry,
    /// Store time as a batch entry holds it; unknown (0) in a plain one.
    pub store_timestamp: i64,
}

impl Slot {
    pub fn encode(&self, form: Form, out: &mut Vec<u8>) {
        let mut bytes = [0; BATCH_ENTRY_LEN];
        bytes[..8].copy_from_slice(&self.entry.physical_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.entry.size.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.entry.tags_code.to_be_bytes());
        if form == Form::Batch {
            bytes[20..28].copy_from_slice(&self.store_timestamp.to_be_bytes());
            bytes[28..36].copy_from_slice(&self.offset.to_be_bytes());
            bytes[36..38].copy_from_slice(&(self.count as i16).to_be_bytes());
        }
        out.extend_from_slice(&bytes[..form.unit()]);
    }

    pub fn decode(form: Form, number: i64, bytes: &[u8]) -> Slot {
        let long = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let size = i32::from_be_bytes(bytes[8..12].try_into().unwrap_or_default());
        let entry = QueueEntry { physical_offset: long(0), size, tags_code: long(12) };
        match form {
            Form::Plain => Slot { offset: number, count: 1, entry, store_timestamp: 0 },
            Form::Batch => {
                let count = i64::from(i16::from_be_bytes(bytes[36..38].try_into().unwrap_or_default()));
                Slot { offset: long(28), count, entry, store_timestamp: long(20) }
            }
        }
    }

    pub fn blank(offset: i64) -> Slot {
        Slot { offset, count: 1, entry: QueueEntry::BLANK, store_timestamp: 0 }
    }
}

/// Decodes entries that stand one behind the other, the first with number `number`.
pub(crate) fn decode(form: Form, number: i64, bytes: &[u8], out: &mut Vec<Slot>) {
    let units = bytes.chunks_exact(form.unit()).zip(number..);
    out.extend(units.map(|(bytes, number)| Slot::decode(form, number, bytes)));
}
