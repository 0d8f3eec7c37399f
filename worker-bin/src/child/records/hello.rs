//! The first lines for a child: who it is, and what it had put.

use super::json::{push_base64, push_string};

/// About how long a line of it gets, in bytes; only a single larger entry makes a longer one.
const LINE_BYTES: usize = 64 * 1024;

/// Appends `{"hello":1,"task":"…","state":{…}}` and a newline, as often as it takes to give all of the state.
///
/// All lines but the last say `"more":true`. Keys that are not UTF-8 stand, in base64, in `state_b64`.
pub(super) fn push_hello<'a>(
    out: &mut Vec<u8>,
    task: &str,
    state: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    let (mut plain, mut encoded) = (Vec::new(), Vec::new());
    for (key, value) in state {
        if plain.len() + encoded.len() + key.len() + value.len() > LINE_BYTES
            && !(plain.is_empty() && encoded.is_empty())
        {
            push_line(out, task, &plain, &encoded, true);
            plain.clear();
            encoded.clear();
        }
        match std::str::from_utf8(key) {
            Ok(key) => push_entry(&mut plain, value, |out| push_string(out, key)),
            Err(_) => push_entry(&mut encoded, value, |out| push_base64(out, key)),
        }
    }
    push_line(out, task, &plain, &encoded, false);
}

fn push_entry(out: &mut Vec<u8>, value: &[u8], push_key: impl FnOnce(&mut Vec<u8>)) {
    if !out.is_empty() {
        out.push(b',');
    }
    push_key(out);
    out.push(b':');
    out.extend_from_slice(value);
}

fn push_line(out: &mut Vec<u8>, task: &str, plain: &[u8], encoded: &[u8], more: bool) {
    out.extend_from_slice(b"{\"hello\":1,\"task\":");
    push_string(out, task);
    out.extend_from_slice(b",\"state\":{");
    out.extend_from_slice(plain);
    out.push(b'}');
    if !encoded.is_empty() {
        out.extend_from_slice(b",\"state_b64\":{");
        out.extend_from_slice(encoded);
        out.push(b'}');
    }
    if more {
        out.extend_from_slice(b",\"more\":true");
    }
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn lines(state: &[(&[u8], &[u8])]) -> Vec<Value> {
        let mut out = Vec::new();
        push_hello(&mut out, "s/0", state.iter().copied());
        out.split_inclusive(|&byte| byte == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn without_state_it_is_one_line() {
        assert_eq!(lines(&[]), [json!({"hello": 1, "task": "s/0", "state": {}})]);
    }

    #[test]
    fn values_come_back_as_the_json_they_were() {
        let hello = lines(&[(b"a\"", b"\"3\""), (b"n", b"[1,{}]"), (b"\xff", b"null")]);
        let want = json!({"hello": 1, "task": "s/0", "state": {"a\"": "3", "n": [1, {}]}, "state_b64": {"/w==": null}});
        assert_eq!(hello, [want]);
    }

    #[test]
    fn much_state_comes_in_lines_of_about_64_kib() {
        let state: Vec<(Vec<u8>, Vec<u8>)> =
            (0..30_000).map(|n| (format!("key {n}").into_bytes(), n.to_string().into_bytes())).collect();
        let large = (b"large".to_vec(), format!("\"{}\"", "x".repeat(200_000)).into_bytes());
        let all: Vec<(&[u8], &[u8])> =
            state.iter().chain([&large]).map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
        let mut out = Vec::new();
        push_hello(&mut out, "s/0", all.iter().copied());
        let lines: Vec<&[u8]> = out.split_inclusive(|&byte| byte == b'\n').collect();
        assert!(lines[..lines.len() - 1].iter().all(|line| line.len() < 128 * 1024));
        let parsed: Vec<Value> = lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
        let (last, others) = parsed.split_last().unwrap();
        assert!(last.get("more").is_none() && others.iter().all(|line| line["more"] == json!(true)));
        let entries: usize = parsed.iter().map(|line| line["state"].as_object().unwrap().len()).sum();
        assert_eq!((entries, parsed[0]["state"]["key 7"].clone()), (30_001, json!(7)));
    }
}
