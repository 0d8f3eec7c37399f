//! What rows read, the same every time.

use super::suite::Suite;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// Numbers that look like chance.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) const LINES: &str = "lines.txt";
const LINES_COUNT: u64 = 5_000_000;
const KEYS: u64 = 20_000;

/// For people.
pub(crate) const LINES_ARE: &str = "479 MB: 5,000,000 lines of 96 bytes in the mean, `wNNNNN,i,x…x`: a key of 20,000, drawn evenly, the line's number, and 80 x";

/// A file that is alike, without this program.
pub(crate) const BY_HAND: &str = r#"mawk 'BEGIN { x = sprintf("%080d", 0); gsub(0, "x", x); while (i < 5000000) printf "w%05d,%d,%s\n", int(20000 * rand()), i++, x }' > lines.txt"#;

/// 479 MB at full size: `wNNNNN,i,80 x`, a key of 20,000, a number and filling. Gives how many bytes.
pub(crate) fn lines(suite: &Suite) -> u64 {
    let path = suite.dir().join(LINES);
    if !path.exists() {
        let (mut draw, filling) = (Draw(1), "x".repeat(80));
        write_blocks(&path, suite.scaled(LINES_COUNT), |line, text| {
            writeln!(text, "w{:05},{line},{filling}", draw.below(KEYS)).expect("a string takes it");
        });
    }
    size(&path)
}

pub(crate) const SHORT_LINES: &str = "short.txt";
pub(crate) const SHORT_LINES_ARE: &str =
    "116 MB: 40,000,000 lines of 2 and 3 bytes, the numbers from 0 to 99 in turn";

pub(crate) fn short_lines(suite: &Suite) -> u64 {
    let path = suite.dir().join(SHORT_LINES);
    if !path.exists() {
        write_blocks(&path, suite.scaled(40_000_000), |line, text| {
            writeln!(text, "{}", line % 100).expect("a string takes it");
        });
    }
    size(&path)
}

pub(crate) const ACCESS_LOG_IS: &str = "480 MB: 4,800,000 lines of an access log of 100 bytes in the mean, one in forty with a status from 500 to 504";
pub(crate) const ACCESS_LOG: &str = "access.log";

/// 480 MB at full size: lines of an access log, one in forty with a status from 500 to 504.
pub(crate) fn access_log(suite: &Suite) -> u64 {
    let path = suite.dir().join(ACCESS_LOG);
    if !path.exists() {
        let mut draw = Draw(1);
        write_blocks(&path, suite.scaled(4_800_000), |_, text| {
            let status = if draw.below(40) == 0 { 500 + draw.below(5) } else { 200 };
            let (a, b, second) = (draw.below(256), draw.below(256), draw.below(60));
            let (page, size) = (draw.below(2000), draw.below(100_000));
            writeln!(
                text,
                "10.7.{a}.{b} - - [10/Oct/2026:13:55:{second:02} +0000] \"GET /page/{page} HTTP/1.1\" {status} {size}"
            )
            .expect("a string takes it");
        });
    }
    size(&path)
}

fn write_blocks(path: &Path, lines: u64, mut line: impl FnMut(u64, &mut String)) {
    let mut file = File::create(path).expect("create the input");
    let mut text = String::new();
    for number in 0..lines {
        line(number, &mut text);
        if text.len() > 1 << 20 || number + 1 == lines {
            file.write_all(text.as_bytes()).expect("write the input");
            text.clear();
        }
    }
    // Not written back while something is measured.
    file.sync_all().expect("sync the input");
}

pub(crate) fn size(path: &Path) -> u64 {
    std::fs::metadata(path).expect("a file has a size").len()
}
