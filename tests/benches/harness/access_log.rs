//! Input of benchmarks.

use std::fmt::Write as _;
use std::path::Path;

/// Lines of an access log, one in forty with a status from 500 to 509; the same every time.
pub(crate) fn write_log(path: &Path, bytes_min: u64) -> u64 {
    let mut state = 1_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let mut block = String::new();
    while block.len() < 16 << 20 {
        let status = [200, 200, 200, 304, 404, 301, 200, 200][usize::try_from(next(8)).expect("small")];
        let status = if next(40) == 0 { 500 + next(5) } else { status };
        let (a, b, second, page, size) = (next(256), next(256), next(60), next(2000), next(100_000));
        writeln!(
            block,
            "10.7.{a}.{b} - - [10/Oct/2026:13:55:{second:02} +0000] \"GET /page/{page} HTTP/1.1\" {status} {size}"
        )
        .expect("a string takes it");
    }
    let mut file = std::fs::File::create(path).expect("create the log");
    let mut written = 0;
    while written < bytes_min {
        std::io::Write::write_all(&mut file, block.as_bytes()).expect("write the log");
        written += block.len() as u64;
    }
    written
}
