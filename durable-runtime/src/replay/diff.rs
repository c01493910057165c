//! What differs between recorded and current arguments, for people.

use serde_json::Value;

use crate::journal::Arguments;

/// How many differences are shown.
const DIFFERENCES_MAX: usize = 10;

/// How much of a value is shown, in bytes.
const VALUE_BYTES_MAX: usize = 80;

/// How much is shown before and behind the first difference of texts that are cut, in bytes.
const AROUND_BYTES: usize = 32;

/// What differs, a line each; at least one line. Called when the digests differ.
pub(super) fn differences(recorded: Option<&Arguments>, current: Option<&Arguments>) -> Vec<String> {
    let (Some(recorded), Some(current)) = (recorded, current) else {
        return vec![
            match (recorded, current) {
                (Some(_), None) => "there are arguments in the record, and none now, or none that have a JSON form",
                (None, Some(_)) => "there are no arguments in the record, or none that have a JSON form",
                (None, None) | (Some(_), Some(_)) => "can't be shown: the arguments have no JSON form",
            }
            .to_owned(),
        ];
    };
    match (parsed(recorded), parsed(current)) {
        (Some(recorded), Some(current)) => {
            let mut found = Differences::default();
            found.compare("arguments", &recorded, &current);
            found.into_lines()
        }
        _ => first_difference(recorded, current),
    }
}

/// The arguments as a value, if they are all there.
fn parsed(arguments: &Arguments) -> Option<Value> {
    if arguments.is_cut { None } else { serde_json::from_str(&arguments.text).ok() }
}

#[derive(Default)]
struct Differences {
    lines: Vec<String>,
    more: usize,
}

impl Differences {
    /// Compares as the digest does: maps have no order, and fields that are null are not there.
    fn compare(&mut self, path: &str, recorded: &Value, current: &Value) {
        match (recorded, current) {
            (Value::Object(recorded), Value::Object(current)) => {
                let present = |value: &&Value| !value.is_null();
                let gone = recorded.keys();
                let new = current.keys().filter(|key| !recorded.contains_key(*key));
                for key in gone.chain(new) {
                    let (then, now) = (recorded.get(key).filter(present), current.get(key).filter(present));
                    self.compare_parts(&inside(path, key), then, now);
                }
            }
            (Value::Array(recorded), Value::Array(current)) => {
                for index in 0..recorded.len().max(current.len()) {
                    self.compare_parts(&format!("{path}[{index}]"), recorded.get(index), current.get(index));
                }
            }
            _ if recorded == current => {}
            _ => self.add(format!("{path}: {} recorded, {} now", shown(recorded), shown(current))),
        }
    }

    fn compare_parts(&mut self, path: &str, recorded: Option<&Value>, current: Option<&Value>) {
        match (recorded, current) {
            (Some(recorded), Some(current)) => self.compare(path, recorded, current),
            (Some(recorded), None) => self.add(format!("{path}: {} recorded, nothing now", shown(recorded))),
            (None, Some(current)) => self.add(format!("{path}: nothing recorded, {} now", shown(current))),
            (None, None) => {}
        }
    }

    fn add(&mut self, line: String) {
        if self.lines.len() < DIFFERENCES_MAX {
            self.lines.push(line);
        } else {
            self.more += 1;
        }
    }

    fn into_lines(mut self) -> Vec<String> {
        match self.more {
            0 if self.lines.is_empty() => {
                vec!["in something that JSON does not show, such as bytes and a list of numbers, or NaN".to_owned()]
            }
            0 => self.lines,
            more => {
                self.lines.push(format!("… and {more} more"));
                self.lines
            }
        }
    }
}

/// The path of a field: `order.price`, or `order["unit price"]`.
fn inside(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && key.chars().all(|character| character.is_alphanumeric() || character == '_');
    if is_plain { format!("{path}.{key}") } else { format!("{path}[{}]", shown(&Value::from(key))) }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.get(..text.floor_char_boundary(VALUE_BYTES_MAX)) {
        Some(beginning) if beginning.len() < text.len() => format!("{beginning}…"),
        _ => text,
    }
}

/// Where two texts, of which at least one is cut, differ first.
fn first_difference(recorded: &Arguments, current: &Arguments) -> Vec<String> {
    let pairs = recorded.text.char_indices().zip(current.text.chars());
    let differs = pairs.into_iter().find(|((_, then), now)| then != now).map(|((at, _), _)| at);
    let shorter = recorded.text.len().min(current.text.len());
    match differs {
        Some(at) => {
            let (then, now) = (around(&recorded.text, at), around(&current.text, at));
            let mut lines = vec![format!("at byte {at}: {then} recorded, {now} now")];
            if is_in_key(&recorded.text[..at]) {
                lines.push(
                    "these are names of fields: if they are of a map, their order does not count, and what differs is elsewhere"
                        .to_owned(),
                );
            }
            lines
        }
        None => vec![format!("behind the first {shorter} bytes, which are all that is kept of them and are equal")],
    }
}

/// Whether the JSON text that begins like this goes on with a key of an object, or within one.
fn is_in_key(beginning: &str) -> bool {
    // Of each object and list that is open: whether a key follows.
    let mut follows_key = Vec::new();
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in beginning.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            // Outside of texts, JSON has none.
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' => follows_key.push(Some(true)),
            b'[' => follows_key.push(None),
            b'}' | b']' => drop(follows_key.pop()),
            b':' | b',' => {
                if let Some(Some(follows)) = follows_key.last_mut() {
                    *follows = byte == b',';
                }
            }
            _ => {}
        }
    }
    follows_key.last() == Some(&Some(true))
}

fn around(text: &str, at: usize) -> String {
    let start = text.floor_char_boundary(at.saturating_sub(AROUND_BYTES));
    let end = text.floor_char_boundary((at + AROUND_BYTES).min(text.len()));
    format!("`…{}…`", text.get(start..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_values() {
        for (beginning, expected) in [
            ("", false),
            ("[", false),
            ("[{", true),
            (r#"[{"a"#, true),
            (r#"[{"a":"#, false),
            (r#"[{"a":"b,{\"c"#, false),
            (r#"[{"a":"b\","#, false),
            (r#"[{"a":"b\\","#, true),
            (r#"[{"a":[1,"#, false),
            (r#"[{"a":[1],"#, true),
            (r#"[{"a":{"b":1},"c"#, true),
            (r#"[{"a":1},"#, false),
        ] {
            assert_eq!(is_in_key(beginning), expected, "{beginning}");
        }
    }

    #[test]
    fn fields_are_told_as_they_are_written() {
        assert_eq!(inside("order", "unit_price2"), "order.unit_price2");
        assert_eq!(inside("order", "unit price"), r#"order["unit price"]"#);
        assert_eq!(inside("order", "§"), r#"order["§"]"#);
        assert_eq!(inside("order", ""), r#"order[""]"#);
    }

    #[test]
    fn long_values_are_cut() {
        // Two of the bytes are quotes.
        let whole = Value::from("x".repeat(VALUE_BYTES_MAX - 2));
        assert_eq!(shown(&whole), whole.to_string());
        let longer = Value::from("x".repeat(VALUE_BYTES_MAX - 1));
        assert_eq!(shown(&longer), format!("\"{}…", "x".repeat(VALUE_BYTES_MAX - 1)));
    }

    #[test]
    fn maps_in_another_order_are_not_taken_for_the_difference() {
        let cut = |text: &str| Arguments { text: text.to_owned(), is_cut: true };
        let lines = differences(Some(&cut(r#"[{"a":1,"b":2"#)), Some(&cut(r#"[{"b":2,"a":1"#)));
        assert_eq!(lines.len(), 2, "{lines:?}");
        let lines = differences(Some(&cut(r#"[{"a":1,"b":2"#)), Some(&cut(r#"[{"a":2,"b":2"#)));
        assert_eq!(lines, ["at byte 6: `…[{\"a\":1,\"b\":2…` recorded, `…[{\"a\":2,\"b\":2…` now"]);
    }
}
