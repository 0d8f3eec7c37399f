//! What a child would be given if there were one record only.

use super::hello::push_hello;
use super::request::{push_request, push_request_with_state};

/// The hello of a `task` without state and the request about one record, as lines; `inline` as in
/// [`RecordsRules`](super::RecordsRules).
#[must_use]
pub fn single_request(task: &str, key: Option<&[u8]>, record: &[u8], inline: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    push_hello(&mut lines, task, std::iter::empty());
    match (key, inline) {
        (Some(key), true) => push_request_with_state(&mut lines, 1, key, record, None),
        (key, _) => push_request(&mut lines, 1, key, record),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_beginning_of_a_conversation() {
        let text = |key, inline| String::from_utf8(single_request("s/0", key, b"r", inline)).unwrap();
        let hello = "{\"hello\":1,\"task\":\"s/0\",\"state\":{}}\n";
        assert_eq!(text(None, false), format!("{hello}{{\"id\":1,\"record\":\"r\"}}\n"));
        let keyed = "{\"id\":1,\"key\":\"k\",\"record\":\"r\",\"state\":{}}\n";
        assert_eq!(text(Some(b"k"), true), format!("{hello}{keyed}"));
    }
}
