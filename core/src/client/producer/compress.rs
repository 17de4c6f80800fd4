//! Bodies made smaller for the way and the store (protocol reference, section 3.3).

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::ZlibEncoder;
use flate2::Compression;
use lz4_flex::frame::FrameEncoder;

use crate::config::CompressionType;
use crate::message::sys_flag;

/// The compressed body and the bits that say so; none if that does not make it smaller.
pub(super) fn compressed(body: &[u8], how: CompressionType, level: u32) -> Option<(Bytes, i32)> {
    let (packed, bits) = match how {
        // Without bits for the method, which are younger than the oldest readers.
        CompressionType::Zlib => (zlib(body, level), 0),
        CompressionType::Lz4 => (lz4(body), sys_flag::COMPRESSION_LZ4),
        CompressionType::Zstd => (zstd(body, level), sys_flag::COMPRESSION_ZSTD),
    };
    match packed {
        Ok(packed) if packed.len() < body.len() => Some((packed.into(), sys_flag::COMPRESSED | bits)),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!("a body of {} bytes is sent as it is: {error}", body.len());
            None
        }
    }
}

fn zlib(body: &[u8], level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(body)?;
    encoder.finish()
}

fn lz4(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = FrameEncoder::new(Vec::new());
    encoder.write_all(body)?;
    encoder.finish().map_err(io::Error::other)
}

fn zstd(body: &[u8], level: u32) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(body, level as i32)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn each_method_has_the_form_that_readers_expect() {
        let body = vec![5; 100_000];
        let pack = |how| compressed(&body, how, 5).unwrap();
        let (zlib, bits) = pack(CompressionType::Zlib);
        assert_eq!((zlib[0], bits), (0x78, 0x1));
        let (lz4, bits) = pack(CompressionType::Lz4);
        // A frame whose blocks do not depend on each other, the only kind that Apache's reader takes.
        assert_eq!((&lz4[..4], lz4[4] & 0x20, bits), (&[0x04, 0x22, 0x4D, 0x18][..], 0x20, 0x101));
        let (zstd, bits) = pack(CompressionType::Zstd);
        assert_eq!((&zstd[..4], bits), (&[0x28, 0xB5, 0x2F, 0xFD][..], 0x201));
        let mut unpacked = [Vec::new(), Vec::new(), Vec::new()];
        flate2::read::ZlibDecoder::new(&zlib[..]).read_to_end(&mut unpacked[0]).unwrap();
        lz4_flex::frame::FrameDecoder::new(&lz4[..]).read_to_end(&mut unpacked[1]).unwrap();
        zstd::Decoder::new(&zstd[..]).unwrap().read_to_end(&mut unpacked[2]).unwrap();
        assert!(unpacked.iter().all(|unpacked| *unpacked == body));
    }

    #[test]
    fn what_does_not_get_smaller_stays() {
        for how in [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd] {
            assert!(compressed(b"x", how, 5).is_none());
        }
    }
}
