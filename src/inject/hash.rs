//! One text for each template, and short names from it. A hash is in the names of ReplicaSets, so
//! what is here may never change for [`VERSION`]: another text would replace every pod of everybody.

use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

/// Goes into every hash, so that another way of hashing would be another version.
const VERSION: &str = "graceful.dev/template/1";

/// Kubernetes' alphabet for such names (apimachinery's rand.SafeEncodeString): no vowels, and nothing
/// that looks like one, so that no hash is ever a word.
const ALPHABET: [char; 27] = [
    'b', 'c', 'd', 'f', 'g', 'h', 'j', 'k', 'l', 'm', 'n', 'p', 'q', 'r', 's', 't', 'v', 'w', 'x',
    'z', '2', '4', '5', '6', '7', '8', '9',
];

/// As many characters as Deployment's hash has, at 4.75 bits each.
const LENGTH: usize = 10;

/// The hash of a user's template, for the label `pod-template-hash` and the ReplicaSet's name. The
/// collision count makes another name of it where the first is taken by another template.
#[must_use]
pub fn template_hash(template: &Value, collision_count: Option<i32>) -> String {
    encode(&[
        VERSION,
        &canonical(template),
        &collision_count.unwrap_or(0).to_string(),
    ])
}

/// Two templates that mean the same, both as the API server keeps them.
#[must_use]
pub fn is_same_template(one: &Value, other: &Value) -> bool {
    canonical(one) == canonical(other)
}

/// The digest of an injected template.
pub(super) fn digest(template: &Value) -> String {
    encode(&[VERSION, &canonical(template)])
}

/// JSON with sorted keys and without space. Members that are null are left out and a whole number is
/// written as one (2, not 2.0): API servers and clients do not agree on these.
pub(super) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            list(text, ['{', '}'], members, |(key, member), text| {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write(member, text);
            });
        }
        Value::Array(items) => list(text, ['[', ']'], items, write),
        Value::Number(number) => {
            text.push_str(&whole(number).unwrap_or_else(|| number.to_string()));
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn list<T>(
    text: &mut String,
    [open, close]: [char; 2],
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String),
) {
    text.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        write(item, text);
    }
    text.push(close);
}

/// A float without fraction as the whole number that it is, as far as floats are exact.
fn whole(number: &Number) -> Option<String> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let float = number.as_f64().filter(|_| number.is_f64())?;
    // Adding zero makes 0 of -0.
    (float.fract() == 0.0 && float.abs() <= EXACT).then(|| format!("{:.0}", float + 0.0))
}

fn encode(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // Lengths keep the parts apart.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let bytes = hasher.finalize();
    let mut number = bytes
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    let mut name = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let digit = usize::try_from(number % 27).unwrap_or_default();
        name.extend(ALPHABET.get(digit));
        number /= 27;
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_text_is_the_same_however_json_is_written() {
        let one = json!({"b": [1, 2.0, -0.0, 0.5, null], "a": {"x": null, "é\"\n": "/"}});
        assert_eq!(
            canonical(&one),
            r#"{"a":{"é\"\n":"/"},"b":[1,2,0,0.5,null]}"#
        );
        let parsed: Value =
            serde_json::from_str("{\"a\":{\"\\u00e9\\\"\\n\":\"\\/\"},\"b\":[1.0,2,0,5e-1,null]}")
                .unwrap();
        assert_eq!(canonical(&parsed), canonical(&one));
    }

    /// B20, R35.
    #[test]
    fn collision_count_makes_another_hash() {
        let template = json!({});
        assert_eq!(
            template_hash(&template, None),
            template_hash(&template, Some(0))
        );
        assert_ne!(
            template_hash(&template, None),
            template_hash(&template, Some(1))
        );
    }
}
