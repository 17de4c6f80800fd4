//! The Bloom filter by which Apache's brokers skip messages that no expression of a group wants: each group and topic has
//! a few bits, and a message's map has the bits of the groups that want it. `consumerFilter.json` holds the groups' bits.
//!
//! Facts: bit count and number of hashes from error rate and expected groups; positions from the 128-bit Murmur3 hash
//! (x64 variant, seed 0), of which the first 64 bits are used. Apache's name: BloomFilter.

use serde::{Deserialize, Serialize};

/// The bits of one group and topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[doc(alias = "BloomFilterData")]
pub struct BloomBits {
    /// Bits of the whole map.
    pub bit_num: u32,
    /// Those that are set.
    pub bit_pos: Vec<u32>,
}

/// Sizes of a Bloom filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(alias = "BloomFilter")]
pub struct Bloom {
    hashes: u32,
    bits: u32,
}

impl Bloom {
    /// For `expected` groups and `error_percent` (1 to 99) of false hits.
    pub fn new(error_percent: u32, expected: u32) -> Bloom {
        let error = f64::from(error_percent.clamp(1, 99)) / 100.0;
        let hashes = (error.ln() / 0.5f64.ln()).ceil();
        let bits = (f64::from(expected.max(1)) * ((1.0 / error).ln() / 2f64.ln()) * (1.0 / 2f64.ln())).ceil();
        Bloom { hashes: hashes as u32, bits: (bits / 8.0).ceil() as u32 * 8 }
    }

    /// The bits of `name`.
    pub fn bits(&self, name: &str) -> BloomBits {
        let hash = murmur3(name.as_bytes());
        let (low, high) = (hash as i32, (hash >> 32) as i32);
        let position = |n: i32| {
            let mixed = low.wrapping_add(n.wrapping_mul(high));
            (if mixed < 0 { !mixed } else { mixed }) as u32 % self.bits
        };
        BloomBits { bit_num: self.bits, bit_pos: (1..=self.hashes as i32).map(position).collect() }
    }

    /// Whether the bits were made with these sizes.
    pub fn made(&self, bits: &BloomBits) -> bool {
        bits.bit_num == self.bits && bits.bit_pos.len() == self.hashes as usize
    }
}

/// The first half of Murmur3's 128 bits, x64 variant, seed 0.
fn murmur3(bytes: &[u8]) -> u64 {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let scatter1 = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let scatter2 = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    // Missing bytes of the last block are 0, which scatters to 0.
    let word = |block: &[u8], at: usize| {
        block.iter().skip(at).take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    let (mut one, mut two) = (0u64, 0u64);
    for block in bytes.chunks(16) {
        one ^= scatter1(word(block, 0));
        let scattered = scatter2(word(block, 8));
        if block.len() < 16 {
            two ^= scattered;
        } else {
            one = one.rotate_left(27).wrapping_add(two).wrapping_mul(5).wrapping_add(0x52dc_e729);
            two =
                (two ^ scattered).rotate_left(31).wrapping_add(one).wrapping_mul(5).wrapping_add(0x3849_5ab5);
        }
    }
    (one, two) = (one ^ bytes.len() as u64, two ^ bytes.len() as u64);
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    avalanche(one).wrapping_add(avalanche(two))
}

fn avalanche(mut word: u64) -> u64 {
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_apache() {
        // From a file that Apache's broker wrote.
        let bloom = Bloom::new(20, 32);
        assert_eq!(bloom.bits("Fx_cg_sql#FxFilter"), BloomBits { bit_num: 112, bit_pos: vec![96, 75, 54] });
        assert!(bloom.made(&bloom.bits("x")) && !Bloom::new(20, 64).made(&bloom.bits("x")));
    }

    #[test]
    fn murmur3_of_all_lengths_of_the_last_block() {
        // Reference values of the published algorithm.
        assert_eq!(murmur3(b""), 0);
        assert_eq!(murmur3(b"hello"), 0xcbd8_a7b3_41bd_9b02);
        assert_eq!(murmur3(b"The quick brown fox jumps over the lazy dog"), 0xe34b_bc7b_bc07_1b6c);
    }
}
