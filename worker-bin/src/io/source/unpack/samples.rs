//! Input in every format, for tests.

use bzip2::write::BzEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use lzma_rust2::{XzOptions, XzWriter};
use std::io::Write as _;

pub(in crate::io::source) type Pack = fn(&[u8]) -> Vec<u8>;

/// What each is called, and how it is made.
pub(in crate::io::source) const PACKED: [(&str, Pack); 6] =
    [("gzip", gzip), ("zstd", zstd), ("xz", xz), ("bzip2", bzip2), ("lz4", lz4), ("lz4", lz4_linked)];

/// Those, and text of other encodings; UTF-8 is what goes in.
pub(in crate::io::source) fn every() -> impl Iterator<Item = (&'static str, Pack)> {
    PACKED.into_iter().chain([("UTF-16", utf16_little as Pack), ("UTF-16", utf16_big)])
}

pub(in crate::io::source) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::io::source) fn zstd(content: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::io::source) fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::io::source) fn bzip2(content: &[u8]) -> Vec<u8> {
    let mut encoder = BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::io::source) fn lz4(content: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    framed(info.content_checksum(true).content_size(Some(content.len() as u64)), content)
}

pub(in crate::io::source) fn lz4_linked(content: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB);
    framed(info.block_mode(BlockMode::Linked).block_checksums(true), content)
}

fn framed(info: FrameInfo, content: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(in crate::io::source) fn utf16_little(text: &[u8]) -> Vec<u8> {
    units(text).flat_map(u16::to_le_bytes).collect()
}

pub(in crate::io::source) fn utf16_big(text: &[u8]) -> Vec<u8> {
    units(text).flat_map(u16::to_be_bytes).collect()
}

fn units(text: &[u8]) -> impl Iterator<Item = u16> {
    let text = std::str::from_utf8(text).unwrap();
    [0xfeff].into_iter().chain(text.encode_utf16().collect::<Vec<_>>())
}
