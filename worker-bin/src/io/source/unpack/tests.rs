use super::format::Endian;
use super::samples::{PACKED, Pack, bzip2, every, gzip, lz4, utf16_little, xz, zstd};
use super::*;
use proptest::prelude::*;

const LITTLE: Format = Format::Utf16(Endian::Little);

fn lines(bytes: usize) -> Vec<u8> {
    let mut all = String::new();
    for n in 0_u64.. {
        if all.len() >= bytes {
            break;
        }
        all += &format!("{n} Müller 𝄞 {:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    all.into_bytes()
}

fn of(bytes: &[u8]) -> Format {
    Beginning::of(bytes).unwrap().format.unwrap()
}

/// All that comes of `bytes`, which come in pieces of such sizes, over and over, with that room; how it ended, and what was told.
fn unpacked(
    mut unpacker: Unpacker,
    bytes: &[u8],
    sizes: &[usize],
    room: usize,
) -> (Vec<u8>, Result<(), Failure>, Option<String>) {
    let (mut all, mut rest, mut sizes) = (Vec::new(), bytes, sizes.iter().cycle());
    let mut buffer = Vec::with_capacity(room);
    let ended = loop {
        buffer.clear();
        match unpacker.unpack_into(&mut buffer) {
            Ok(Unpacked::Bytes(given)) => {
                assert!(given == buffer.len() && given > 0 && buffer.capacity() == room);
                all.extend_from_slice(&buffer);
            }
            Ok(Unpacked::WantsInput) if rest.is_empty() => unpacker.end_input(),
            Ok(Unpacked::WantsInput) => {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                unpacker.input().extend_from_slice(piece);
                rest = behind;
            }
            Ok(Unpacked::AtItsEnd) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    assert!(unpacker.offset() <= bytes.len() as u64);
    (all, ended, unpacker.take_remark("x").map(|(_, reason)| reason))
}

fn whole(bytes: &[u8]) -> (Vec<u8>, Result<(), Failure>, Option<String>) {
    unpacked(Unpacker::new(of(bytes), false), bytes, &[INPUT_BYTES], UNPACKED_BYTES_MAX)
}

fn by_bytes(bytes: &[u8]) -> (Vec<u8>, Result<(), Failure>, Option<String>) {
    unpacked(Unpacker::new(of(bytes), false), bytes, &[1], 8)
}

#[test]
fn every_format_is_unpacked_in_pieces_of_any_size() {
    for content in [Vec::new(), lines(1), lines(3000), lines(400_000)] {
        for (name, pack) in every() {
            let packed = pack(&content);
            assert_eq!(of(&packed).name(), name);
            for (sizes, room) in
                [(vec![INPUT_BYTES], UNPACKED_BYTES_MAX), (vec![1, 2, 3], 8), (vec![1000, 1], 100)]
            {
                let unpacker = Unpacker::new(of(&packed), false);
                let (all, ended, told) = unpacked(unpacker, &packed, &sizes, room);
                assert!(all == content, "{name}: {} of {} bytes, {ended:?}", all.len(), content.len());
                assert_eq!((ended, told), (Ok(()), None), "{name}");
            }
        }
    }
}

#[test]
fn members_one_after_the_other_are_one_input() {
    let skipped = b"\x5e\x2a\x4d\x18\x03\0\0\0abc".to_vec();
    for (name, pack) in PACKED {
        let mut members = vec![pack(b"1\n"), pack(b""), pack(&lines(100_000)), pack(b"3")];
        if ["zstd", "lz4"].contains(&name) {
            members.insert(1, skipped.clone());
            members.push(skipped.clone());
        }
        if name == "xz" {
            // Padding.
            members.insert(1, vec![0; 8]);
            members.push(vec![0; 4]);
        }
        let packed = members.concat();
        let want = [b"1\n", &lines(100_000)[..], b"3"].concat();
        for (all, ended, told) in [whole(&packed), by_bytes(&packed)] {
            assert!(
                all == want && ended == Ok(()) && told.is_none(),
                "{name}: {} bytes, {ended:?}",
                all.len()
            );
        }
    }
}

#[test]
fn what_is_cut_off_gives_all_that_was_there_however_it_came() {
    let content = lines(3000);
    for (name, pack) in every() {
        let packed = pack(&content);
        // A mark alone is a text without a character.
        let least = if name == "UTF-16" { 3 } else { 6 };
        for cut in least..packed.len() {
            let is_whole = name == "UTF-16" && cut % 2 == 0;
            let (all, ended, _) = whole(&packed[..cut]);
            assert!(content.starts_with(&all), "{name}, {cut}");
            let broken_off = matches!(ended, Err(Failure::BrokenOff(_)));
            assert!(broken_off || is_whole, "{name}: {cut} of {} bytes: {ended:?}", packed.len());
            assert_eq!(by_bytes(&packed[..cut]).0.len(), all.len(), "{name}, {cut}");
        }
        let (all, ..) = whole(&packed[..packed.len() - 1]);
        let lost = if name == "UTF-16" { 4 } else { 0 };
        assert!(all.len() + lost >= content.len(), "{name}: {} of {}", all.len(), content.len());
    }
}

#[test]
fn what_is_cut_off_in_the_middle_of_much_loses_one_block_at_most() {
    let content = lines(1_000_000);
    for (name, pack, block) in [
        ("gzip", gzip as Pack, 1000),
        ("zstd", zstd, 128 << 10),
        ("xz", xz, 1000),
        ("bzip2", bzip2, 100 << 10),
        ("lz4", lz4, 64 << 10),
    ] {
        let packed = pack(&content);
        let (all, ended, _) = whole(&packed[..packed.len() * 3 / 4]);
        assert!(ended.is_err() && content.starts_with(&all), "{name}");
        let least = content.len() * 3 / 4 - content.len() / 20 - block;
        assert!(all.len() >= least, "{name}: {} of at least {least}", all.len());
    }
}

proptest! {
    #[test]
    fn damage_anywhere_gives_the_same_however_it_comes(
        which in 0_usize..6,
        at in 20_usize..1000,
        flip in 1_u8..,
        sizes in proptest::collection::vec(1_usize..5000, 1..5),
        room in 8_usize..5000,
    ) {
        let (name, pack) = PACKED[which];
        let mut packed = pack(&lines(60_000));
        let at = packed.len() * at / 1000;
        packed[at] ^= flip;
        prop_assume!(Beginning::of(&packed).is_some());
        let (all, ended, _) = whole(&packed);
        let unpacker = Unpacker::new(of(&packed), false);
        let (other, other_ended, _) = unpacked(unpacker, &packed, &sizes, room);
        prop_assert!(all == other, "{name}: {} and {} bytes, {ended:?}, {other_ended:?}", all.len(), other.len());
        prop_assert_eq!(ended, other_ended);
    }

    #[test]
    fn any_bytes_are_no_panic_and_come_to_an_end(
        which in 0_usize..8,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut packed = every().nth(which).unwrap().1(b"abc\n");
        packed.truncate(12);
        packed.extend_from_slice(&bytes);
        prop_assert_eq!(whole(&packed).0, by_bytes(&packed).0);
    }
}

#[test]
fn what_comes_before_damage_is_the_same_in_pieces_of_any_size() {
    for (name, pack) in PACKED {
        let whole_file = pack(&lines(20_000));
        for at in (20..whole_file.len()).step_by(whole_file.len() / 20) {
            let mut damaged = whole_file.clone();
            damaged[at] ^= 0x55;
            for bytes in [&damaged[..], &whole_file[..at]] {
                let given = |size, room| unpacked(Unpacker::new(of(bytes), false), bytes, &[size], room);
                let at_once = given(bytes.len(), UNPACKED_BYTES_MAX);
                for (size, room) in [(1, 4096), (7, 1000), (4096, 7), (bytes.len(), 1)] {
                    let other = given(size, room);
                    assert!(
                        other == at_once,
                        "{name}, damage at {at}, pieces of {size} into {room}: {} bytes and {:?}, not {} and {:?}",
                        other.0.len(),
                        other.1,
                        at_once.0.len(),
                        at_once.1
                    );
                }
            }
        }
    }
}

#[test]
fn what_follows_is_treated_as_the_formats_own_tools_do() {
    let behind = |pack: Pack, garbage: &[u8]| whole(&[&pack(b"1\n"), garbage].concat());
    let told = |garbage: &str, format: &str| {
        Some(format!("{garbage} bytes behind the {format} data of x are no {format} data, and were left out"))
    };
    // gzip: "decompression OK, trailing garbage ignored", and zeros are nothing.
    assert_eq!(behind(gzip, b"\0\0\0garbage"), (b"1\n".to_vec(), Ok(()), told("10", "gzip")));
    assert_eq!(behind(gzip, b"\x1f"), (b"1\n".to_vec(), Ok(()), told("1", "gzip")));
    assert_eq!(behind(gzip, &[0; 100_000]), (b"1\n".to_vec(), Ok(()), None));
    // bzip2: "trailing garbage after EOF ignored".
    assert_eq!(behind(bzip2, b"garbage"), (b"1\n".to_vec(), Ok(()), told("7", "bzip2")));
    assert_eq!(behind(bzip2, b"BZ"), (b"1\n".to_vec(), Ok(()), told("2", "bzip2")));
    assert_eq!(behind(bzip2, b"\0"), (b"1\n".to_vec(), Ok(()), told("1", "bzip2")));
    // The others fail.
    for (name, pack) in [("zstd", zstd as Pack), ("xz", xz), ("lz4", lz4)] {
        for garbage in [&b"garbage"[..], b"g", &[0; 7]] {
            let (all, ended, told) = behind(pack, garbage);
            assert!(
                all == b"1\n" && matches!(ended, Err(Failure::Damaged(_) | Failure::BrokenOff(_))),
                "{name}: {ended:?}"
            );
            assert_eq!(told, None);
        }
    }
}

#[test]
fn check_sums_are_checked() {
    for (name, pack) in PACKED {
        let mut packed = pack(b"1\n2\n");
        let length = packed.len();
        // Of gzip the check sum, of bzip2 and lz4 that at the end, of xz that of its block, of linked blocks that of the block.
        let at = match name {
            "xz" => length - 12 - 8 - 8,
            "bzip2" => length - 3,
            "zstd" => length - 1,
            "lz4" if length > 30 => length - 1,
            "lz4" => length - 5,
            _ => length - 8,
        };
        packed[at] ^= 1;
        assert!(matches!(whole(&packed).1, Err(Failure::Damaged(_))), "{name}: {packed:?}");
    }
}

#[test]
fn headers_of_gzip_may_have_all_their_parts() {
    let plain = gzip(b"1\n");
    let mut header = b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abcname\0a comment\0".to_vec();
    let mut sum = crc32fast::Hasher::new();
    sum.update(&header);
    header.extend_from_slice(&sum.finalize().to_le_bytes()[..2]);
    let packed = [&header, &plain[10..]].concat();
    assert_eq!(by_bytes(&packed), (b"1\n".to_vec(), Ok(()), None));
    assert_eq!(whole(&packed), (b"1\n".to_vec(), Ok(()), None));
    header.pop();
    let wrong = [&header, &b"\0"[..], &plain[10..]].concat();
    assert!(matches!(whole(&wrong).1, Err(Failure::Damaged(why)) if why.contains("header")));
    let empty_extra = [b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\0\0", &plain[10..]].concat();
    assert_eq!(by_bytes(&empty_extra), (b"1\n".to_vec(), Ok(()), None));
}

#[test]
fn what_needs_too_much_memory_is_refused_and_is_no_damage() {
    let mut packed = xz(b"1\n");
    // The header of the block: its size, flags, filter, size of its properties, dictionary.
    assert_eq!(packed[12..16], [2, 0, 0x21, 1]);
    packed[16] = 31;
    let sum = crc32fast::hash(&packed[12..20]).to_le_bytes();
    packed[20..24].copy_from_slice(&sum);
    let (_, ended, _) = whole(&packed);
    assert!(matches!(&ended, Err(Failure::Refused(why)) if why.contains("MiB of memory")), "{ended:?}");
    // A window of 1 GiB.
    let (_, ended, _) = whole(b"\x28\xb5\x2f\xfd\0\xa0\x01\0\0");
    assert!(matches!(&ended, Err(Failure::Refused(why)) if why.contains("128 MiB")), "{ended:?}");
}

#[test]
fn much_from_little_costs_no_memory() {
    let zeros = vec![0; 30 << 20];
    for (name, pack) in PACKED {
        let packed = pack(&zeros);
        let mut unpacker = Unpacker::new(of(&packed), false);
        let (mut rest, mut given, mut buffer) = (&packed[..], 0, Vec::with_capacity(1 << 20));
        loop {
            buffer.clear();
            match unpacker.unpack_into(&mut buffer).unwrap() {
                Unpacked::Bytes(bytes) => given += bytes,
                Unpacked::AtItsEnd => break,
                Unpacked::WantsInput if rest.is_empty() => unpacker.end_input(),
                Unpacked::WantsInput => {
                    let (piece, behind) = rest.split_at(rest.len().min(INPUT_BYTES));
                    unpacker.input().extend_from_slice(piece);
                    rest = behind;
                }
            }
            assert!(buffer.len() <= UNPACKED_BYTES_MAX && unpacker.input.bytes.capacity() <= 2 * INPUT_BYTES);
        }
        assert_eq!(given, zeros.len(), "{name}");
    }
}

#[test]
fn text_ends_where_its_last_character_does() {
    let text = |bytes: &[u8], replaces| unpacked(Unpacker::new(LITTLE, replaces), bytes, &[1], 8);
    let plain = utf16_little("ä𝄞\n".as_bytes());
    for (bytes, before, after) in [
        // Half a unit; a pair without its second, before something else, and at the end; a second without its first; two firsts.
        ([&plain[..], b"a"].concat(), "ä𝄞\n", "ä𝄞\n\u{fffd}"),
        ([&plain[..], b"\0\xd8", b"a\0"].concat(), "ä𝄞\n", "ä𝄞\n\u{fffd}a"),
        ([&plain[..], b"\0\xd8"].concat(), "ä𝄞\n", "ä𝄞\n\u{fffd}"),
        ([&plain[..], b"\0\xdc", b"a\0"].concat(), "ä𝄞\n", "ä𝄞\n\u{fffd}a"),
        ([&plain[..], b"\0\xd8\x34\xd8\x1e\xdd"].concat(), "ä𝄞\n", "ä𝄞\n\u{fffd}𝄞"),
    ] {
        let (all, ended, told) = text(&bytes, false);
        assert_eq!((String::from_utf8(all).unwrap().as_str(), told), (before, None));
        assert!(matches!(ended, Err(Failure::Damaged(_) | Failure::BrokenOff(_))), "{ended:?}");
        let (all, ended, told) = text(&bytes, true);
        assert_eq!((String::from_utf8(all).unwrap().as_str(), ended), (after, Ok(())));
        assert!(
            told.as_ref().is_some_and(|told| told.starts_with("1 places of x are no UTF-16 text")),
            "{told:?}"
        );
    }
    let marks = utf16_little("\u{feff}a".as_bytes());
    assert_eq!(text(&marks, false).0, "\u{feff}a".as_bytes(), "only the first is none");
}

/// bzip2's library forgets what it has given in the call that finds the damage.
#[test]
fn damage_amid_a_block_of_bzip2_gives_the_same_whatever_room_there_is() {
    let mut packed = bzip2(&lines(60_000));
    let at = packed.len() * 758 / 1000;
    packed[at] ^= 156;
    let (all, ended, _) = whole(&packed);
    assert!(!all.is_empty() && ended.is_err(), "{} bytes, {ended:?}", all.len());
    for (size, room) in [(1, 8), (100, 100), (5000, 5000), (packed.len(), 100_000)] {
        let (other, ..) = unpacked(Unpacker::new(of(&packed), false), &packed, &[size], room);
        assert!(other == all, "{} and {} bytes", other.len(), all.len());
    }
}
